/**
 * Trouble for a run of real processes, drawn from a seed: workers are killed, leave, freeze and join, the NATS server is
 * killed and freezes. There is always a member left that has the run's state.
 *
 * @module
 */

import { setTimeout as pause } from "node:timers/promises";
import type { CommittedStep } from "../../../src/dist/replica/plan.ts";
import { randomStream } from "../../../src/prng.ts";
import { descendants } from "../../run/support/runs.ts";

/** What can happen. */
export type TroubleKind = "kill" | "leave" | "freeze" | "join" | "kill server" | "freeze server";

/** How often, of a hundred troubles. */
const SHARES: [TroubleKind, number][] = [
  ["join", 50],
  ["kill", 20],
  ["freeze", 12],
  ["leave", 8],
  ["kill server", 6],
  ["freeze server", 4],
];
/** Seconds for which a process is frozen. */
const FROZEN = { least: 1, most: 5 };
/** Seconds between two kills of the server: one that ends again and again is not started again. */
const SERVER_PEACE = 15;

/** The processes of a run. */
export interface Troubled {
  workers: ReadonlyMap<string, { readonly process: Deno.ChildProcess }>;
  /** Starts a worker. */
  start(member: string): void;
}

/** Makes trouble. */
export class Trouble {
  /** What has happened so far. */
  readonly counts: Record<TroubleKind, number> = {
    "kill": 0,
    "leave": 0,
    "freeze": 0,
    "join": 0,
    "kill server": 0,
    "freeze server": 0,
  };
  readonly #uniform: (index: number) => number;
  #drawn = 0;
  readonly #harmed = new Set<string>();
  #serverKilledAt = -Infinity;
  readonly #thaws: Promise<void>[] = [];

  /**
   * @param rate probability of trouble after a step
   * @param mostWorkers how many there may be
   */
  constructor(seed: number, readonly rate: number, readonly mostWorkers: number) {
    this.#uniform = randomStream(seed, "trouble").uniform;
  }

  /** Perhaps something happens after a step. */
  afterStep({ computed }: Pick<CommittedStep, "computed">, run: Troubled): void {
    if (this.#draw() >= this.rate) return;
    const healthy = Object.keys(computed).filter((name) => !this.#harmed.has(name));
    const kind = this.#drawKind(), victim = healthy[Math.floor(this.#draw() * healthy.length)];
    const seconds = FROZEN.least + (FROZEN.most - FROZEN.least) * this.#draw();
    if (!this.#happens(kind, { victim, isLast: healthy.length < 2, seconds }, run)) return;
    this.counts[kind]++;
  }

  /** Waits until all that was frozen is thawed. */
  async over(): Promise<void> {
    await Promise.all(this.#thaws);
  }

  #draw(): number {
    return this.#uniform(this.#drawn++);
  }

  #drawKind(): TroubleKind {
    let left = 100 * this.#draw();
    return SHARES.find(([, share]) => (left -= share) < 0)?.[0] ?? "join";
  }

  /** False where it would end the run, or there are enough workers. */
  #happens(
    kind: TroubleKind,
    { victim, isLast, seconds }: { victim: string; isLast: boolean; seconds: number },
    run: Troubled,
  ): boolean {
    switch (kind) {
      case "join": {
        if (run.workers.size - this.#gone >= this.mostWorkers) return false;
        run.start(`w${run.workers.size}`);
        return true;
      }
      case "kill server":
        return this.#killServer();
      case "freeze server":
        return this.#freeze(serverPid(), Math.min(3, seconds));
    }
    if (isLast) return false;
    this.#harmed.add(victim);
    const { process } = run.workers.get(victim)!;
    if (kind === "freeze") return this.#freeze(process.pid, seconds, () => this.#harmed.delete(victim));
    process.kill(kind === "kill" ? "SIGKILL" : "SIGTERM");
    return true;
  }

  get #gone(): number {
    return this.counts.kill + this.counts.leave;
  }

  #killServer(): boolean {
    const now = performance.now() / 1000, pid = serverPid();
    if (pid === undefined || now - this.#serverKilledAt < SERVER_PEACE) return false;
    this.#serverKilledAt = now;
    Deno.kill(pid, "SIGKILL");
    return true;
  }

  #freeze(pid: number | undefined, seconds: number, thawed = () => {}): boolean {
    if (pid === undefined) return false;
    Deno.kill(pid, "SIGSTOP");
    const thaw = async () => {
      await pause(1000 * seconds);
      try {
        Deno.kill(pid, "SIGCONT");
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw error; // it was killed meanwhile
      }
      thawed();
    };
    this.#thaws.push(thaw());
    return true;
  }
}

/** The NATS server that this process has started; undefined while it is started again. */
function serverPid(): number | undefined {
  return descendants(Deno.pid).find(({ command }) => /^\S*nats-server /.test(command))?.pid;
}

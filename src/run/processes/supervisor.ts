/**
 * Supervises the processes of one launch: starts them, restarts those that crash, and ends all together.
 *
 * @module
 */

import { setTimeout as pause } from "node:timers/promises";
import { errorMessage, RunError } from "../../errors.ts";
import { WORKER_ENVIRONMENT } from "../../tensorflow/memory.ts";
import { type Child, type ChildExit, startChild } from "./child.ts";
import { reportDeath, withNonce } from "./death.ts";
import type { ChildEvent, ChildFailure, ChildOrder } from "./protocol.ts";
import { Restarts } from "./restarts.ts";

/** Milliseconds that children have to leave by themselves once the launch has ended, and again after they were asked to. */
const GRACE = 3000;

/** A process that is restarted when it fails. */
export interface Supervised {
  /** Its order. */
  first: ChildOrder;
  /** Its order after a restart. */
  later: ChildOrder;
  /** Whether it is restarted when it fails; otherwise the whole launch ends with it. */
  shouldRestart: () => boolean;
}

/** A child that failed. */
class ChildError extends RunError {
  constructor(
    message: string,
    readonly failureCause: ChildFailure["cause"],
  ) {
    super(message);
  }
}

/** The processes of one launch. */
export class Supervisor {
  /** Rejects with the error that ends the launch. */
  readonly failure: Promise<never>;
  /** Ends the launch. */
  readonly fail: (error: unknown) => void;
  readonly #ending = new AbortController();
  /** The latest child of each name. */
  readonly #children = new Map<string, Child>();
  /** What is being told to the coordinator. */
  readonly #reports: Promise<void>[] = [];
  /** Those that were asked to leave. */
  readonly #asked = new Set<Child>();

  /**
   * Starts nothing yet.
   *
   * @param onEvent gets what children report; where it throws, the launch ends with that error
   */
  constructor(private readonly onEvent: (event: ChildEvent) => void) {
    const { promise, reject } = Promise.withResolvers<never>();
    this.failure = promise;
    this.fail = reject;
    promise.catch(() => {}); // handled where it is awaited
  }

  /**
   * Starts a process, and restarts it when it crashes, until it ends well.
   *
   * @throws {RunError} where it reports an error that a restart would not mend, crashes too often, or is not to be restarted
   */
  async supervise(name: string, { first, later, shouldRestart }: Supervised): Promise<void> {
    const { signal } = this.#ending;
    const restarts = new Restarts();
    for (let order = first;; order = later) {
      const startedAt = performance.now();
      try {
        return await this.#start(name, order);
      } catch (error) {
        if (signal.aborted) return;
        const cause = error instanceof ChildError ? error.failureCause : "crash";
        const milliseconds = restarts.after(cause, performance.now() - startedAt);
        if (milliseconds === undefined && cause !== "permanent") {
          this.say(`${name} failed ${restarts.failures} times and is not restarted`);
        } else if (milliseconds !== undefined && shouldRestart()) {
          if (cause === "crash" || restarts.failures === 1) {
            this.say(`${errorMessage(error)}; restarting it in ${milliseconds / 1000} s`);
          }
          await pause(milliseconds, undefined, { signal }).catch(() => {}); // rejected when the launch ends meanwhile
          if (signal.aborted) return;
        }
        const isNeeded = shouldRestart(); // asked again: this may have changed during the pause
        if (!isNeeded) this.fail(error);
        if (!isNeeded || milliseconds === undefined) throw error;
      }
    }
  }

  /** Whether no process is restarted any more. */
  get isEnding(): boolean {
    return this.#ending.signal.aborted;
  }

  /** Reports a status line. */
  say(text: string): void {
    this.onEvent({ kind: "status", text });
  }

  /** Asks a child to leave, if it runs, and only once: a second signal would have it hurry. */
  stop(name: string): void {
    const child = this.#children.get(name);
    if (!child || this.#asked.has(child)) return;
    this.#asked.add(child);
    child.stop("SIGTERM");
  }

  /** Asks all to leave; none is restarted. */
  stopAll(): void {
    this.#ending.abort();
    for (const name of this.#children.keys()) this.stop(name);
  }

  /** Asks all to leave quickly. */
  hurry(): void {
    for (const child of this.#children.values()) child.stop("SIGTERM");
  }

  /** Waits until all have ended: after a grace period they are asked to, after another one killed. None is restarted. */
  async end(): Promise<void> {
    this.#ending.abort();
    await this.#endChildren();
    await Promise.all(this.#reports);
  }

  async #endChildren(): Promise<void> {
    const children = [...this.#children.values()];
    const all = Promise.all(children.map((child) => child.exited));
    for (const signal of ["SIGTERM", "SIGKILL"] as const) {
      const timer = Promise.withResolvers<"late">();
      const late = setTimeout(() => timer.resolve("late"), GRACE);
      const ended = await Promise.race([all, timer.promise]);
      clearTimeout(late);
      if (ended !== "late") return;
      for (const child of children) child.stop(signal);
    }
    await all;
  }

  /** Starts a child and waits for its end. */
  async #start(name: string, order: ChildOrder): Promise<void> {
    let failure: ChildFailure | undefined;
    const handle = (event: unknown) => {
      const report = event as ChildEvent | ChildFailure;
      if (report.kind === "failed") failure = report;
      else if (report.kind === "status" && order.role !== "coordinator") this.say(`${name} ${report.text}`);
      else this.onEvent(report);
    };
    const guarded = (event: unknown) => {
      try {
        handle(event);
      } catch (error) {
        this.fail(error);
      }
    };
    const named = withNonce(order);
    const child = startChild(name, named, guarded, order.role === "worker" ? WORKER_ENVIRONMENT : undefined);
    this.#children.set(name, child);
    const exit = await child.exited;
    if (exit.success) return;
    this.#reports.push(reportDeath(named));
    throw new ChildError(`${name}: ${failure?.message ?? describe(exit)}`, failure?.cause ?? "crash");
  }
}

function describe({ how, lastLines }: ChildExit): string {
  return `the process ended with ${how}${lastLines && `; its last lines:\n${lastLines}`}`;
}

/**
 * A run on this machine: a NATS server, a coordinator and workers, each a process of its own, started and ended in order.
 *
 * @module
 */

import type { Config } from "../../config/config.ts";
import { errorMessage, RunError } from "../../errors.ts";
import type { RunListener } from "../folder/log.ts";
import { Supervisor } from "./supervisor.ts";
import type { Summary } from "../folder/summary.ts";
import type { ChildEvent, ChildOrder } from "./protocol.ts";
import type { CoordinatorOptions } from "../participants/coordinator.ts";
import type { WorkerOptions, WorkerOutcome, WorkerStep } from "../participants/worker.ts";
import { MachineShare } from "./machine_share.ts";
import { keepNatsServer, type NatsServer } from "../../dist/mod.ts";

/** Milliseconds that a coordinator has for the end of a run whose workers are all gone; it is frozen after that. */
const CLOSING_TIME = 60_000;

/** Where a run begins. */
export type LaunchStart = NonNullable<CoordinatorOptions["start"]>;

/** What all launches take. */
export interface LaunchOptions {
  /** Ends the run: the step is finished, a checkpoint saved, all members leave. */
  signal?: AbortSignal;
  /** Makes workers leave quickly: a state that is not saved elsewhere is kept on this machine. */
  hurry?: AbortSignal;
  /** Receives the run's events. */
  onEvent: RunListener;
}

/**
 * Runs a configuration with `machine.workers` workers on this machine until its last step, or until the signal. A process that
 * crashes after the first step is restarted, a few times; one that reports an error which a restart would only meet again is not.
 *
 * @param start where the run begins, in its folder that this process has locked
 * @throws {RunError} where coordinator or worker fails before the first step, the coordinator crashes too often, or fewer
 *   workers are left than the run needs: with the message of the last that failed, after the others have saved
 * @throws what `onEvent` throws
 */
export async function launchRun(
  config: Config,
  start: LaunchStart,
  { signal, onEvent }: LaunchOptions,
): Promise<Summary> {
  const say = (text: string) => onEvent({ kind: "status", text });
  await using server = await keepNatsServer(
    { signal, onProgress: say },
    () => say("the NATS server has ended and is restarted"),
  );
  const launch = new Launch(config, server, { signal, onEvent });
  server.exited.then((reason) =>
    launch.fail(new RunError(`the NATS server can't be kept running: ${reason}`))
  );
  return await launch.run(start);
}

/** The processes of a run around a NATS server. */
class Launch {
  readonly #supervisor = new Supervisor((event) => this.#handle(event));
  readonly #orders: readonly WorkerOrder[];
  readonly #listening = Promise.withResolvers<void>();
  /** After the first step. */
  #isUnderWay = false;
  /** Workers that have not left for good. */
  #left: number;
  /** Why the run can't continue with those that are left. */
  #shortage: RunError | undefined;
  #closing: ReturnType<typeof setTimeout> | undefined;
  #summary: Summary | undefined;
  /** What workers have said while they start. */
  readonly #said = new Set<string>();

  constructor(
    readonly config: Config,
    readonly server: Pick<NatsServer, "url" | "eventsUrl">,
    readonly options: LaunchOptions,
  ) {
    const { machine, data: { source } } = config;
    this.#orders = workerOrders(machine, { url: server.url, source, folder: machine.out, atHome: true });
    this.#left = this.#orders.length;
  }

  /** Ends the launch with an error. */
  fail(error: unknown): void {
    this.#supervisor.fail(error);
  }

  async run(start: LaunchStart): Promise<Summary> {
    const { signal } = this.options;
    const interrupt = () => this.#interrupt();
    signal?.addEventListener("abort", interrupt);
    try {
      const coordinator = this.#superviseCoordinator(start);
      this.#listening.promise.then(() => {
        superviseReducers(this.#supervisor, this.config.machine, this.server.url);
        this.#superviseWorkers();
      });
      await Promise.race([coordinator, this.#supervisor.failure]);
    } catch (error) {
      if (!this.#isUnderWay) signal?.throwIfAborted(); // a run that is stopped while it starts has not failed
      throw error;
    } finally {
      signal?.removeEventListener("abort", interrupt);
      await this.#supervisor.end();
      clearTimeout(this.#closing);
    }
    if (!this.#summary) throw new RunError("the coordinator ended without a summary of the run");
    if (this.#shortage && this.#summary.interrupted && !signal?.aborted) throw this.#shortage;
    return this.#summary;
  }

  #superviseCoordinator(start: LaunchStart): Promise<void> {
    const { config, server: { url, eventsUrl } } = this;
    const at = { url, eventsUrl, isLocked: true };
    const startWorkers = this.#orders.length;
    return this.#supervisor.supervise("coordinator", {
      first: { role: "coordinator", config, options: { ...at, start, startWorkers } },
      later: { role: "coordinator", config, options: { ...at, failover: true } },
      shouldRestart: () => this.#isUnderWay && this.#left > 0,
    });
  }

  #superviseWorkers(): void {
    for (const order of this.#orders) {
      const { member } = order.options;
      this.#supervisor.supervise(member, {
        first: order,
        later: order,
        shouldRestart: () => this.#isUnderWay,
      })
        .then(() => this.#lose(new RunError(`${member} has left`)), (error) => this.#lose(error));
    }
  }

  /** A worker has left for good. Where too few are left for another step, their state is saved. */
  #lose(reason: Error): void {
    if (this.#supervisor.isEnding) return;
    this.#left--;
    const { minWorkers, out } = this.config.machine;
    const needed = this.#isUnderWay ? minWorkers : this.#orders.length;
    if (this.#left >= needed) return;
    this.#shortage ??= new RunError(
      `${errorMessage(reason)}\n` +
        `the run needs ${needed} of its workers and has ${this.#left}; resume it with deno task train --resume ${out}`,
    );
    this.#interrupt();
    if (this.#left === 0) this.#closing = setTimeout(() => this.fail(this.#shortage), CLOSING_TIME);
  }

  /** After its summary, and once it is stopped while it starts, no line of a process that still starts is of interest. */
  get #isOver(): boolean {
    return this.#summary !== undefined || (this.options.signal?.aborted === true && !this.#isUnderWay);
  }

  /** Whether a worker that starts says what another one has said: all do the same. */
  #isRepeated(text: string): boolean {
    const name = this.#orders.map(({ options }) => options.member).find((name) =>
      text.startsWith(`${name} `)
    );
    if (this.#isUnderWay || name === undefined) return false;
    const said = text.slice(name.length);
    const isRepeated = this.#said.has(said);
    this.#said.add(said);
    return isRepeated;
  }

  #interrupt(): void {
    this.#supervisor.stop("coordinator");
  }

  #handle(event: ChildEvent): void {
    if (event.kind === "joined" || event.kind === "applied" || event.kind === "ended") return;
    if (event.kind === "status" && (this.#isOver || this.#isRepeated(event.text))) return;
    if (event.kind === "listening") {
      // The signal may have come while no coordinator was running.
      if (this.options.signal?.aborted || this.#shortage) this.#interrupt();
      return this.#listening.resolve();
    }
    if (event.kind === "finished") this.#summary = event.summary;
    this.#isUnderWay ||= event.kind === "step";
    this.options.onEvent(event);
  }
}

/** What the launch of workers for a coordinator elsewhere takes. */
export interface JoinOptions extends LaunchOptions {
  /** Receives each step, with the share of all workers of this machine, whenever one of them has applied it. */
  onStep?: (step: WorkerStep) => void;
}

/**
 * Runs `machine.workers` workers of another machine's run until it ends, or until the signal. One that crashes after it was
 * a member is restarted, a few times.
 *
 * @param where the address of the run's NATS server, where this machine has the text if not where the run has it, and the folder
 *   where it keeps checkpoints, if any
 * @returns how that ended for the last worker; undefined where none has come so far
 * @throws {RunError} where a worker is rejected or fails before any of them was a member; or later, when all have ended: with its
 *   message
 */
export async function launchWorkers(
  machine: Config["machine"],
  where: Pick<WorkerOptions, "url" | "source" | "folder">,
  { signal, hurry, onEvent, onStep }: JoinOptions,
): Promise<WorkerOutcome | undefined> {
  let hasJoined = false;
  let outcome: WorkerOutcome | undefined;
  const share = new MachineShare();
  const supervisor = new Supervisor((event) => {
    if (event.kind === "joined") hasJoined = true;
    if (event.kind === "applied") onStep?.(share.add(event.member, event.step));
    if (event.kind === "ended") outcome = event.outcome;
    if (event.kind === "status") onEvent(event);
  });
  const leave = () => supervisor.stopAll(), leaveQuickly = () => supervisor.hurry();
  try {
    const workers = workerOrders(machine, where).map((order) =>
      supervisor.supervise(order.options.member, {
        first: order,
        later: order,
        shouldRestart: () => hasJoined,
      })
    );
    for (const worker of workers) worker.catch((error) => hasJoined && supervisor.say(errorMessage(error)));
    signal?.addEventListener("abort", leave);
    hurry?.addEventListener("abort", leaveQuickly);
    if (signal?.aborted) leave();
    await Promise.race([Promise.allSettled(workers), supervisor.failure]);
    await Promise.all(workers);
    return outcome;
  } finally {
    signal?.removeEventListener("abort", leave);
    hurry?.removeEventListener("abort", leaveQuickly);
    await supervisor.end();
  }
}

/** What a worker process is to be. */
type WorkerOrder = ChildOrder & { role: "worker" };

/**
 * Starts and supervises `machine.reducers` reducers for a coordinator in this process.
 *
 * @returns ends them
 */
export function launchReducers(
  machine: Config["machine"],
  url: string,
  onEvent: RunListener,
): AsyncDisposable {
  const supervisor = new Supervisor((event) => event.kind === "status" && onEvent(event));
  superviseReducers(supervisor, machine, url);
  return { [Symbol.asyncDispose]: () => supervisor.end() };
}

/** A single reducer would only stand in for the coordinator, which then reduces by itself. A run continues without any. */
function superviseReducers(
  supervisor: Supervisor,
  { run, name, reducers, out, sharedMemory }: Config["machine"],
  url: string,
): void {
  for (let i = 0; i < reducers && reducers > 1; i++) {
    const home = { folder: out, name: `reducer-${i}` };
    const order: ChildOrder = { role: "reducer", options: { url, run, machine: name, home, sharedMemory } };
    supervisor.supervise(`reducer-${i}`, { first: order, later: order, shouldRestart: () => true })
      .catch((error) => supervisor.say(`${errorMessage(error)}; the run continues without this reducer`));
  }
}

/** Worker i of this machine computes on GPU i where there are GPUs, counted round where there are fewer. */
function workerOrders(
  { run, workers, backend, device, name, sharedMemory }: Config["machine"],
  common: Pick<WorkerOptions, "url" | "source" | "folder" | "atHome">,
): WorkerOrder[] {
  return Array.from({ length: workers }, (_, gpu) => ({
    role: "worker",
    options: { ...common, run, member: `${name}-${gpu}`, backend, device, gpu, sharedMemory },
  }));
}

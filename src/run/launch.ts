/**
 * A run on this machine: a NATS server, a coordinator and workers, each a process of its own, started and ended in order.
 *
 * @module
 */

import { type Child, type ChildExit, startChild } from "./children.ts";
import type { Config } from "../config/config.ts";
import { keepNatsServer } from "../dist/server.ts";
import { RunError, wordsOf } from "../errors.ts";
import type { ChildEvent, ChildFailure, ChildOrder, WorkerOptions } from "./participants.ts";
import type { RunListener } from "./events.ts";
import type { Summary } from "./folder.ts";
import { WORKER_ENVIRONMENT } from "../tensorflow/memory.ts";

/** Milliseconds that children have to leave by themselves once the run has ended, and again after they were asked to. */
const GRACE = 3000;
/** How often in a row a process that crashes is started again, and after how many milliseconds, doubled each time. */
const RESTARTS = 3;
const FIRST_PAUSE = 2500;
/** One that has lived so many milliseconds counts as sound: its earlier crashes are forgotten. */
const SOUND_AFTER = 60_000;

/** What all launches take. */
export interface LaunchOptions {
  /** Ends the run: the step is finished, a checkpoint saved, everybody leaves. */
  signal?: AbortSignal;
  /** Gets what happens. */
  onEvent: RunListener;
}

/**
 * Runs a configuration with `machine.workers` workers on this machine until its last step, or until the signal. A process that
 * crashes after the first step is started again, a few times; one that says why it can't go on would say so again, and is not.
 *
 * @param startStep the step that the run goes on after; 0 starts a new one
 * @throws {RunError} where coordinator or worker fails before the first step, or no worker, or no coordinator, can be kept
 *   alive: with its words
 */
export async function launchRun(
  config: Config,
  startStep: number,
  options: LaunchOptions,
): Promise<Summary> {
  const { signal, onEvent } = options;
  const say = (text: string) => onEvent({ kind: "status", text });
  await using server = await keepNatsServer(
    { signal, onProgress: say },
    () => say("the NATS server has ended and is started again"),
  );
  const url = server.url;
  let summary: Summary | undefined;
  let isUnderWay = false; // after the first step
  let areWorkersDone = false;
  const listening = Promise.withResolvers<void>();
  const interrupt = () => family.stop("coordinator");
  const family = new Family((event) => {
    if (event.kind === "listening") {
      if (signal?.aborted) interrupt(); // it came while there was no coordinator to be told
      return listening.resolve();
    }
    if (event.kind === "finished") summary = event.summary;
    isUnderWay ||= event.kind === "step";
    onEvent(event);
  });
  try {
    const { machine, data: { source } } = config;
    const startWorkers = Math.max(machine.workers, machine.minWorkers);
    const coordinator = keepAlive(family, "coordinator", {
      first: { role: "coordinator", config, options: { url, startStep, startWorkers } },
      later: { role: "coordinator", config, options: { url, takeOver: true } },
      isWorthIt: () => isUnderWay && !areWorkersDone,
      onEvent,
    });
    server.exited.then((words) => family.fail(new RunError(`the NATS server can't be kept alive: ${words}`)));
    signal?.addEventListener("abort", interrupt);
    listening.promise.then(() => {
      startReducers(family, machine, url, onEvent);
      const kept = workerOrders(machine, { url, source, atHome: true }).map((order) =>
        keepAlive(family, order.options.member, {
          first: order,
          later: order,
          isWorthIt: () => isUnderWay,
          onEvent,
        })
      );
      // One that is left is enough for the others' work.
      Promise.any(kept).catch(({ errors }: AggregateError) => family.fail(errors.at(-1)));
      Promise.allSettled(kept).then(() => areWorkersDone = true);
    });
    await Promise.race([coordinator, family.failure]);
    signal?.removeEventListener("abort", interrupt);
  } finally {
    await family.end();
  }
  if (!summary) throw new RunError("the coordinator ended without a summary of the run");
  return summary;
}

/**
 * Runs `workers` workers of another machine's run until it ends, or until the signal.
 *
 * @param where the address of the run's NATS server, and where this machine has the text if not where the run has it
 * @throws {RunError} where a worker is refused, dies or fails, with its words
 */
export async function launchWorkers(
  machine: Config["machine"],
  where: Pick<WorkerOptions, "url" | "source">,
  { signal, onEvent }: LaunchOptions,
): Promise<void> {
  const family = new Family((event) => event.kind !== "listening" && onEvent(event));
  try {
    const workers = workerOrders(machine, where).map((order) => family.start(order.options.member, order));
    for (const { done } of workers) done.catch(family.fail);
    const leave = () => workers.forEach(({ child }) => child.stop("SIGTERM"));
    signal?.addEventListener("abort", leave);
    if (signal?.aborted) leave();
    await Promise.race([Promise.all(workers.map(({ done }) => done)), family.failure]);
    signal?.removeEventListener("abort", leave);
  } finally {
    await family.end();
  }
}

/**
 * Keeps `machine.reducers` processes alive that average for a coordinator in this process.
 *
 * @returns ends them
 */
export function launchReducers(
  machine: Config["machine"],
  url: string,
  onEvent: RunListener,
): AsyncDisposable {
  const family = new Family((event) => event.kind !== "listening" && onEvent(event));
  startReducers(family, machine, url, onEvent);
  return { [Symbol.asyncDispose]: () => family.end() };
}

/** One reducer would only stand in for the coordinator, which then averages itself. A run goes on without any. */
function startReducers(family: Family, machine: Config["machine"], url: string, onEvent: RunListener): void {
  const { run, name, reducers } = machine;
  const order: ChildOrder = { role: "reducer", options: { url, run, machine: name } };
  for (let i = 0; i < reducers && reducers > 1; i++) {
    keepAlive(family, `reducer-${i}`, { first: order, later: order, isWorthIt: () => true, onEvent })
      .catch((error) =>
        onEvent({ kind: "status", text: `${wordsOf(error)}; the run goes on without this reducer` })
      );
  }
}

/** Worker i of this machine computes on GPU i where there are GPUs. */
function workerOrders(
  { run, workers, backend, device, name, out: folder }: Config["machine"],
  common: Pick<WorkerOptions, "url" | "source" | "atHome">,
): WorkerOrder[] {
  return Array.from({ length: workers }, (_, gpu) => ({
    role: "worker",
    options: { ...common, run, member: `${name}-${gpu}`, backend, device, gpu, folder },
  }));
}

/** A process that is kept alive. */
interface Kept {
  /** What it is to be. */
  first: ChildOrder;
  /** What it is to be when it is started again. */
  later: ChildOrder;
  /** Whether it is worth while to start it again; otherwise the whole family ends with it. */
  isWorthIt: () => boolean;
  /** Gets what happens. */
  onEvent: RunListener;
}

/**
 * Starts a process, and again when it crashes, until it ends well.
 *
 * @throws {ChildError} where it says why it can't go on, crashes too often, or it is not worth while to start it again
 */
async function keepAlive(family: Family, name: string, kept: Kept): Promise<void> {
  const say = (text: string) => kept.onEvent({ kind: "status", text });
  let order = kept.first;
  for (let crashes = 0;;) {
    const startedAt = performance.now();
    try {
      return await family.start(name, order).done;
    } catch (error) {
      if (family.isEnding) return;
      if (performance.now() - startedAt >= SOUND_AFTER) crashes = 0;
      const isCrash = !(error instanceof ChildError && error.isVerdict);
      if (isCrash && kept.isWorthIt()) {
        if (crashes >= RESTARTS) {
          say(`${name} crashed ${crashes + 1} times and is not started again`);
          throw error;
        }
        const pause = FIRST_PAUSE * 2 ** crashes++;
        say(`${wordsOf(error)}; starting it again in ${pause / 1000} s`);
        await new Promise((resolve) => setTimeout(resolve, pause));
        if (family.isEnding) return;
      }
      if (!kept.isWorthIt()) family.fail(error); // not at once, or not any more
      if (!isCrash || !kept.isWorthIt()) throw error;
      order = kept.later;
    }
  }
}

/** What a worker process is to be. */
type WorkerOrder = ChildOrder & { role: "worker" };

/** A child that failed. */
class ChildError extends RunError {
  constructor(
    message: string,
    /** Whether it said itself why it can't go on; otherwise it crashed. */
    readonly isVerdict: boolean,
  ) {
    super(message);
  }
}

/** A process of a launch; `done` rejects with a {@linkcode ChildError} where it failed. */
interface Participant {
  child: Child;
  done: Promise<void>;
}

/** The processes of one launch. */
class Family {
  /** Rejects with the error that ends the launch. */
  readonly failure: Promise<never>;
  /** Ends the launch. */
  readonly fail: (error: unknown) => void;
  /** Whether no process is to be started any more. */
  isEnding = false;
  /** The latest child of each name. */
  readonly #children = new Map<string, Child>();

  constructor(private readonly onEvent: (event: ChildEvent) => void) {
    const { promise, reject } = Promise.withResolvers<never>();
    this.failure = promise;
    this.fail = reject;
    promise.catch(() => {}); // heard by whoever awaits it
  }

  start(name: string, order: ChildOrder): Participant {
    let failure: ChildFailure | undefined;
    const hear = (event: unknown) => {
      const told = event as ChildEvent | ChildFailure;
      if (told.kind === "failed") failure = told;
      else if (told.kind === "status" && order.role !== "coordinator") {
        this.onEvent({ kind: "status", text: `${name} ${told.text}` });
      } else this.onEvent(told);
    };
    const child = startChild(name, order, hear, order.role === "worker" ? WORKER_ENVIRONMENT : undefined);
    this.#children.set(name, child);
    const done = child.exited.then((exit) => {
      if (exit.success) return;
      throw new ChildError(`${name}: ${failure?.message ?? describe(exit)}`, failure?.isVerdict ?? false);
    });
    return { child, done };
  }

  /** Asks a child to leave, where it is there. */
  stop(name: string): void {
    this.#children.get(name)?.stop("SIGTERM");
  }

  /** Waits for all to end; asks, then ends those that don't. */
  async end(): Promise<void> {
    this.isEnding = true;
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
}

function describe({ how, lastWords }: ChildExit): string {
  return `the process ended with ${how}${lastWords && `, after these words:\n${lastWords}`}`;
}

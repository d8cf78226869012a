/**
 * A run on this machine: a NATS server, a coordinator and workers, each a process of its own, started and ended in order.
 *
 * @module
 */

import { type Child, type ChildExit, startChild } from "./children.ts";
import type { Config } from "./config.ts";
import { startNatsServer } from "./dist/server.ts";
import { RunError } from "./errors.ts";
import type { ChildEvent, ChildOrder, CoordinatorOptions, WorkerOptions } from "./participants.ts";
import type { RunListener } from "./run_events.ts";
import type { Summary } from "./run_folder.ts";

/** Milliseconds that children have to leave by themselves once the run has ended, and again after they were asked to. */
const GRACE = 3000;

/** What all launches take. */
export interface LaunchOptions {
  /** Ends the run: the step is finished, a checkpoint saved, everybody leaves. */
  signal?: AbortSignal;
  /** Gets what happens. */
  onEvent: RunListener;
}

/**
 * Runs a configuration with `machine.workers` workers on this machine until its last step, or until the signal.
 *
 * @param startStep the step that the run goes on after; 0 starts a new one
 * @throws {RunError} where a participant dies or fails, with its words
 */
export async function launchRun(
  config: Config,
  startStep: number,
  options: LaunchOptions,
): Promise<Summary> {
  const { signal, onEvent } = options;
  await using server = await startNatsServer({
    signal,
    onProgress: (text) => onEvent({ kind: "status", text }),
  });
  const url = server.url;
  let summary: Summary | undefined;
  const listening = Promise.withResolvers<void>();
  const family = new Family((event) => {
    if (event.kind === "listening") return listening.resolve();
    if (event.kind === "finished") summary = event.summary;
    onEvent(event);
  });
  try {
    const coordinator = family.start("coordinator", {
      role: "coordinator",
      config,
      options: { url, startStep } satisfies Pick<CoordinatorOptions, "url" | "startStep">,
    });
    const interrupt = () => coordinator.child.stop("SIGTERM");
    signal?.addEventListener("abort", interrupt);
    if (signal?.aborted) interrupt();
    const started = listening.promise.then(() =>
      startWorkers(family, config.machine, { url, startStep, source: config.data.source, atHome: true })
    );
    await Promise.race([started.then(() => coordinator.done), family.failure]);
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
    const workers = startWorkers(family, machine, where);
    const leave = () => workers.forEach(({ child }) => child.stop("SIGTERM"));
    signal?.addEventListener("abort", leave);
    if (signal?.aborted) leave();
    await Promise.race([Promise.all(workers.map(({ done }) => done)), family.failure]);
    signal?.removeEventListener("abort", leave);
  } finally {
    await family.end();
  }
}

/** Worker i of this machine computes on GPU i where there are GPUs. */
function startWorkers(
  family: Family,
  { run, workers, backend, device, name, out: folder }: Config["machine"],
  common: Pick<WorkerOptions, "url" | "source" | "startStep" | "atHome">,
): Participant[] {
  return Array.from({ length: workers }, (_, gpu) => {
    const member = `${name}-${gpu}`;
    return family.start(member, {
      role: "worker",
      options: { ...common, run, member, backend, device, gpu, folder },
    });
  });
}

/** A process of a launch; `done` rejects with its words where it failed. */
interface Participant {
  child: Child;
  done: Promise<void>;
}

/** The processes of one launch: one that fails ends all. */
class Family {
  /** Rejects with the words of the first that failed. */
  readonly failure: Promise<never>;
  readonly #fail: (error: unknown) => void;
  readonly #children: Child[] = [];

  constructor(private readonly onEvent: (event: ChildEvent) => void) {
    const { promise, reject } = Promise.withResolvers<never>();
    this.failure = promise;
    this.#fail = reject;
    promise.catch(() => {}); // heard by whoever awaits it
  }

  start(name: string, order: ChildOrder): Participant {
    let words: string | undefined; // what the child said went wrong
    const hear = (event: unknown) => {
      const told = event as ChildEvent | { kind: "failed"; message: string };
      if (told.kind === "failed") words = told.message;
      else if (told.kind === "status" && order.role === "worker") {
        this.onEvent({ kind: "status", text: `${name} ${told.text}` });
      } else this.onEvent(told);
    };
    const child = startChild(name, order, hear);
    this.#children.push(child);
    const done = child.exited.then((exit) => {
      if (!exit.success) throw new RunError(`${name}: ${words ?? describe(exit)}`);
    });
    done.catch(this.#fail);
    return { child, done };
  }

  /** Waits for all to end; asks, then ends those that don't. */
  async end(): Promise<void> {
    const all = Promise.all(this.#children.map((child) => child.exited));
    for (const signal of ["SIGTERM", "SIGKILL"] as const) {
      const timer = Promise.withResolvers<"late">();
      const late = setTimeout(() => timer.resolve("late"), GRACE);
      const ended = await Promise.race([all, timer.promise]);
      clearTimeout(late);
      if (ended !== "late") return;
      for (const child of this.#children) child.stop(signal);
    }
    await all;
  }
}

function describe({ how, lastWords }: ChildExit): string {
  return `the process ended with ${how}${lastWords && `, after these words:\n${lastWords}`}`;
}

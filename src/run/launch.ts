/**
 * A run on this machine: a NATS server, a coordinator and workers, each a process of its own, started and ended in order.
 *
 * @module
 */

import type { Config } from "../config/config.ts";
import { keepNatsServer } from "../dist/server.ts";
import { RunError, wordsOf } from "../errors.ts";
import type { RunListener } from "./events.ts";
import { Family } from "./family.ts";
import type { Summary } from "./folder.ts";
import type { ChildEvent, ChildOrder, WorkerOptions } from "./participants.ts";

/** Milliseconds that a coordinator has for the end of a run whose workers are all gone; it is frozen after that. */
const CLOSING_TIME = 60_000;

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
 * @throws {RunError} where coordinator or worker fails before the first step, no coordinator can be kept alive, or fewer workers
 *   than the run needs: with the words of the last that failed, after those that are left have saved
 * @throws what `onEvent` throws
 */
export async function launchRun(
  config: Config,
  startStep: number,
  { signal, onEvent }: LaunchOptions,
): Promise<Summary> {
  const say = (text: string) => onEvent({ kind: "status", text });
  await using server = await keepNatsServer(
    { signal, onProgress: say },
    () => say("the NATS server has ended and is started again"),
  );
  const { url } = server;
  const { machine, data: { source } } = config;
  const orders = workerOrders(machine, { url, source, atHome: true });
  let summary: Summary | undefined;
  let isUnderWay = false; // after the first step
  let left = orders.length;
  let shortage: RunError | undefined; // the run can't go on with the workers that are left
  const listening = Promise.withResolvers<void>();
  const interrupt = () => family.stop("coordinator");
  const hear = (event: ChildEvent) => {
    if (event.kind === "joined") return;
    if (event.kind === "listening") {
      if (signal?.aborted || shortage) interrupt(); // it came while there was no coordinator to be told
      return listening.resolve();
    }
    if (event.kind === "finished") summary = event.summary;
    isUnderWay ||= event.kind === "step";
    onEvent(event);
  };
  const family = new Family(hear);
  let closing: ReturnType<typeof setTimeout> | undefined;
  /** A worker has left for good. Where too few are left for another step, what they have is saved. */
  const miss = (reason: Error) => {
    if (family.isEnding) return;
    left--;
    const needed = isUnderWay ? machine.minWorkers : orders.length;
    if (left >= needed) return;
    shortage ??= new RunError(
      `${wordsOf(reason)}\n` +
        `the run needs ${needed} of its workers and has ${left}; go on with deno task train --resume ${machine.out}`,
    );
    interrupt();
    if (left === 0) closing = setTimeout(() => family.fail(shortage), CLOSING_TIME);
  };
  try {
    const coordinator = family.keepAlive("coordinator", {
      first: { role: "coordinator", config, options: { url, startStep, startWorkers: orders.length } },
      later: { role: "coordinator", config, options: { url, takeOver: true } },
      isWorthIt: () => isUnderWay && left > 0,
    });
    server.exited.then((words) => family.fail(new RunError(`the NATS server can't be kept alive: ${words}`)));
    signal?.addEventListener("abort", interrupt);
    listening.promise.then(() => {
      for (const order of orders) {
        const { member } = order.options;
        family.keepAlive(member, { first: order, later: order, isWorthIt: () => isUnderWay })
          .then(() => miss(new RunError(`${member} has left`)), miss);
      }
    });
    await Promise.race([coordinator, family.failure]);
  } catch (error) {
    if (!isUnderWay) signal?.throwIfAborted(); // what is stopped while it starts has not failed
    throw error;
  } finally {
    signal?.removeEventListener("abort", interrupt);
    await family.end();
    clearTimeout(closing);
  }
  if (!summary) throw new RunError("the coordinator ended without a summary of the run");
  if (shortage && summary.interrupted && !signal?.aborted) throw shortage;
  return summary;
}

/**
 * Runs `machine.workers` workers of another machine's run until it ends, or until the signal. One that crashes after it was
 * a member is started again, a few times.
 *
 * @param where the address of the run's NATS server, and where this machine has the text if not where the run has it
 * @throws {RunError} where a worker is refused or fails before any of them was a member; or later, when all have ended: with its
 *   words
 */
export async function launchWorkers(
  machine: Config["machine"],
  where: Pick<WorkerOptions, "url" | "source">,
  { signal, onEvent }: LaunchOptions,
): Promise<void> {
  let hasJoined = false;
  const family = new Family((event) => {
    if (event.kind === "joined") hasJoined = true;
    else if (event.kind !== "listening") onEvent(event);
  });
  const leave = () => family.letGo();
  try {
    const workers = workerOrders(machine, where).map((order) =>
      family.keepAlive(order.options.member, { first: order, later: order, isWorthIt: () => hasJoined })
    );
    for (const worker of workers) worker.catch((error) => hasJoined && family.say(wordsOf(error)));
    signal?.addEventListener("abort", leave);
    if (signal?.aborted) leave();
    await Promise.race([Promise.allSettled(workers), family.failure]);
    await Promise.all(workers);
  } finally {
    signal?.removeEventListener("abort", leave);
    await family.end();
  }
}

/** What a worker process is to be. */
type WorkerOrder = ChildOrder & { role: "worker" };

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

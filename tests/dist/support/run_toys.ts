/**
 * Runs toys: a coordinator and workers in this process.
 *
 * @module
 */

import { coordinate } from "../../../src/dist/coordinator.ts";
import type { CoordinateOptions } from "../../../src/dist/coordinator/options.ts";
import type {
  CommittedStep,
  CoordinationPlan,
  DistEvent,
  RunOutcome,
} from "../../../src/dist/replica/plan.ts";
import type { Transport } from "../../../src/dist/protocol/transport.ts";
import { subtrees } from "../../../src/dist/vectors/tree.ts";
import { runWorker } from "../../../src/dist/worker.ts";
import type { Replica } from "../../../src/dist/replica/replica.ts";
import type { WorkerEvent } from "../../../src/dist/worker/options.ts";
import { RunWatch } from "./run_watch.ts";

/** Makes a connection for one participant. */
export type Connect = (name: string) => Promise<Transport> | Transport;

/** How a run of toys ended. */
export interface ToyRun {
  outcome: RunOutcome;
  events: DistEvent[];
  /** How each worker ended: undefined, or its error. */
  workers: (Error | undefined)[];
  /** What the workers told. */
  told: { member: string; event: WorkerEvent }[];
}

/**
 * A coordinator and one worker per replica; rejects with the coordinator's error. Every other worker shares memory, so that both ways
 * of a vector are gone in one run, unless the options say that all do, or none.
 */
export async function runToys(
  connect: Connect,
  replicas: Replica[],
  plan: CoordinationPlan,
  options: CoordinateOptions = {},
): Promise<ToyRun> {
  const events: DistEvent[] = [];
  const told: ToyRun["told"] = [];
  const watch = new RunWatch(events);
  const listening = Promise.withResolvers<void>();
  await using coordinatorsEnd = await closing(connect, "coordinator");
  const coordination = coordinate(watch.over(coordinatorsEnd.transport), plan, {
    ...options,
    onListening: listening.resolve,
    onEvent: (event) => {
      events.push(event);
      options.onEvent?.(event);
    },
  });
  await Promise.race([listening.promise, coordination]);
  const working = replicas.map(async (replica, i) => {
    const member = `worker-${i}`;
    await using end = await closing(connect, member);
    const { run, id, configHash } = plan;
    await runWorker(watch.over(end.transport), replica, {
      run,
      id,
      member,
      configHash,
      atHome: i === 0,
      residuals: options.residuals,
      sharesMemory: options.sharesMemory ?? i % 2 === 0,
      onEvent: (event) => told.push({ member, event }),
    });
  });
  const workers = Promise.all(working.map((work) => work.then(() => undefined, (error: Error) => error)));
  const all = Promise.allSettled([coordination, workers]);
  const [outcome] = await watch.until("the end of coordinator and workers", all);
  if (outcome.status === "rejected") throw outcome.reason;
  return { outcome: outcome.value, events, workers: await workers, told };
}

/** Vectors that were uploaded for these steps: a subtree each, whichever worker computed it. */
export function uploadsOf(steps: readonly CommittedStep[], microBatches: number): number {
  const ranges = steps.flatMap(({ computed }) => Object.values(computed));
  return ranges.flatMap((each) => subtrees(each[0], each.at(-1)! + 1, microBatches)).length;
}

async function closing(connect: Connect, name: string) {
  const transport = await connect(name);
  return { transport, [Symbol.asyncDispose]: () => transport.close() };
}

/**
 * Runs of toys whose coordinator dies and is started again, over a bus in memory.
 *
 * @module
 */

import { coordinate } from "../../../src/dist/coordinator.ts";
import type { CoordinatorFaultPoint } from "../../../src/dist/protocol/fault_points.ts";
import type { CoordinationPlan, DistEvent, RunOutcome, RunRecord } from "../../../src/dist/replica/plan.ts";
import type { CheckpointStore, Replica } from "../../../src/dist/replica/replica.ts";
import type { Transport } from "../../../src/dist/protocol/transport.ts";
import { runWorker } from "../../../src/dist/worker.ts";
import type { WorkerEvent } from "../../../src/dist/worker/options.ts";
import type { MemoryBus } from "./memory_bus.ts";
import { RunWatch } from "./run_watch.ts";

/** What is on record of a run, as in `metrics.jsonl`. */
export class RunLines {
  lines: (DistEvent & { kind: "step" | "evaluated" })[] = [];

  /** Takes an event. */
  note(event: DistEvent): void {
    if (event.kind === "step" || event.kind === "evaluated") this.lines.push(event);
  }

  /** What is on record up to a step; forgets the rest. */
  recall(step: number): RunRecord {
    this.lines = this.lines.filter((line) =>
      (line.kind === "step" ? line.committed.step : line.step) <= step
    );
    const steps = this.#steps();
    return {
      tokens: steps.reduce((sum, { tokens }) => sum + tokens, 0),
      loss: steps.at(-1)?.loss ?? NaN,
      evaluation: this.lines.findLast((line) => line.kind === "evaluated"),
      skips: steps.length - 1 - steps.findLastIndex(({ applied }) => applied),
    };
  }

  /** Members of the last step. */
  get workers(): number {
    return this.#steps().at(-1)?.workers ?? 0;
  }

  /** All steps, in order. */
  get steps(): number[] {
    return this.#steps().map(({ step }) => step);
  }

  /** All evaluations, in order. */
  get evaluations(): number[] {
    return this.lines.flatMap((line) => line.kind === "evaluated" ? [line.step] : []);
  }

  #steps() {
    return this.lines.flatMap((line) => line.kind === "step" ? [line.committed] : []);
  }
}

/** When a coordinator dies: at a fault point of a step or a later one. */
export interface CoordinatorFault {
  point: CoordinatorFaultPoint;
  step: number;
  /** What happens then; by default it is as if the process was killed. */
  strike?: (end: Transport) => void;
}

/** How such a run went. */
export interface RestartedRun {
  outcome: RunOutcome;
  record: RunLines;
  events: DistEvent[];
  /** What each worker told. */
  workerEvents: WorkerEvent[][];
  /** How each worker ended: undefined, or its error. */
  workers: (Error | undefined)[];
  /** How each coordinator but the last one ended. */
  errors: unknown[];
}

/**
 * Runs a coordinator and a worker for each replica; each fault kills a coordinator, and another one takes over the run.
 *
 * @param connect makes the coordinators' connections
 * @param checkpoints where the coordinators keep them, and all workers are elsewhere; without it the first worker is at home
 */
export async function runWithRestarts(
  bus: MemoryBus,
  replicas: Replica[],
  plan: CoordinationPlan,
  faults: CoordinatorFault[],
  connect: () => Transport = () => bus.connect(),
  checkpoints?: CheckpointStore,
): Promise<RestartedRun> {
  const record = new RunLines();
  const events: DistEvent[] = [];
  const errors: unknown[] = [];
  const workerEvents: WorkerEvent[][] = replicas.map(() => []);
  const watch = new RunWatch(events);
  let working: Promise<(Error | undefined)[]> | undefined;
  const work = (replica: Replica, i: number) =>
    runWorker(watch.over(bus.connect()), replica, {
      run: plan.run,
      id: plan.id,
      member: `w${i}`,
      configHash: plan.configHash,
      atHome: i === 0 && !checkpoints,
      onEvent: (event) => workerEvents[i].push(event),
    }).then(() => undefined, (error: Error) => error);

  for (const fault of [...faults, undefined]) {
    const end = connect();
    const dead = Promise.withResolvers<void>();
    let isDead = false;
    const coordination = coordinate(watch.over(end), plan, {
      checkpoints,
      onListening: () => working ??= Promise.all(replicas.map(work)),
      onEvent: (event) => {
        if (isDead) return; // its file is not the run's any more
        events.push(event);
        record.note(event);
      },
      ...(working
        ? { takeOver: { expected: record.workers, recall: (step: number) => record.recall(step) } }
        : {}),
      onFaultPoint: (point, step) => {
        if (isDead || point !== fault?.point || step < fault.step) return;
        isDead = true;
        (fault.strike ?? ((end) => end.close()))(end);
        dead.resolve();
      },
    });
    if (!fault) {
      const ending = Promise.all([coordination, working!]);
      const [outcome, workers] = await watch.until("the end of the run", ending);
      return { outcome, record, events, workerEvents, workers, errors };
    }
    const ended = coordination.then(() => new Error("it ended before the fault"), (error) => error);
    ended.then((error) => errors.push(error));
    await watch.until(`the fault ${fault.point}`, Promise.race([dead.promise, ended]));
  }
  throw new Error("unreachable");
}

/**
 * Creates the parts of a worker and connects each with those that it needs.
 *
 * @module
 */

import { ResidualKeeper } from "../allreduce/residuals.ts";
import { CoordinatorLink } from "../protocol/coordinator_link.ts";
import { now } from "../protocol/timeouts.ts";
import type { Transport } from "../protocol/transport.ts";
import type { Replica } from "../replica/replica.ts";
import type { SharedSums } from "../allreduce/shared_sums.ts";
import { CatchUp } from "./catch_up.ts";
import { CheckpointWriter } from "./checkpoint_writer.ts";
import { Departure } from "./departure.ts";
import type { Welcome } from "./join.ts";
import type { ServeWorkerOptions } from "./options.ts";
import { Reporter } from "./reporter.ts";
import { Sampler } from "./sampler.ts";
import { StepExecutor } from "./step_executor.ts";
import { TaskQueue } from "./task_queue.ts";

/** Callbacks of the parts to their worker. */
export interface WorkerEffects {
  /** An activity begins; throws where the worker has ended. */
  begin(phase: string): void;
  /** The worker can't continue. */
  fail(error: unknown): void;
  /** A task has ended: a committed step may be applied next. */
  applyNext(): void;
}

/** The parts of a worker. */
export interface WorkerParts {
  /** What is known of the coordinator. */
  link: CoordinatorLink;
  /** The worker's messages. */
  reporter: Reporter;
  /** How it leaves. */
  departure: Departure;
  /** Its tasks, one at a time. */
  queue: TaskQueue;
  /** The work on its replica. */
  executor: StepExecutor;
  /** Its part in checkpoints. */
  checkpoints: CheckpointWriter;
  /** Its samples. */
  sampler: Sampler;
  /** Error feedback of its sums' encoding. */
  residuals: ResidualKeeper;
  /** How it gets the state of the run by state transfer. */
  catchUp: CatchUp;
}

/**
 * The parts of a worker that was welcomed.
 *
 * @param shared memory for sums that neighbours read
 */
export function assemble(
  transport: Transport,
  replica: Replica,
  options: ServeWorkerOptions,
  welcome: Welcome,
  effects: WorkerEffects,
  shared?: SharedSums,
): WorkerParts {
  const { run, member, onEvent } = options;
  const link = new CoordinatorLink(welcome, {
    run,
    ...welcome,
    transport,
    onLost: () => onEvent?.({ kind: "alone" }),
    onCutOff: (isCutOff) => onEvent?.({ kind: "cut off", isCutOff }),
  });
  const departure = new Departure(welcome.heartbeatSeconds, now);
  const reporter = new Reporter(transport, run, member, replica, link, {
    transferred: () => executor.transferred,
    spent: () => executor.time.spent,
    isLeaving: () => departure.isAsked,
  });
  const executor: StepExecutor = new StepExecutor(replica, welcome, {
    begin: (phase) => effects.begin(phase),
    send: (reducer, fields, payload) => reporter.transfer(reducer, fields, payload),
    reach: (point, step) => options.onFaultPoint?.(point, step),
    fail: (error) => effects.fail(error),
  }, shared);
  const queue = new TaskQueue((answer) => reporter.publish(answer), (error) => effects.fail(error), () => {
    reporter.setPhase("ready");
    effects.applyNext();
  });
  const checkpoints = new CheckpointWriter(replica, {
    ...options,
    pin: () => executor.pin(),
    pinned: (step) => executor.pinned(step),
    tell: (step, result) => reporter.saved(step, result),
    onKept: (step, place) => onEvent?.({ kind: "kept", step, place }),
  });
  const onLost = (reason: string) => onEvent?.({ kind: "residualsDropped", reason });
  const residuals = new ResidualKeeper(executor.vectors.encoder, options.residuals?.of(member), onLost);
  const sampler = new Sampler(replica, {
    isBusy: () => queue.isBusy,
    progress: () => reporter.progress(),
    tell: (step, result) => reporter.sampled(step, result),
    fail: (error) => effects.fail(error),
  });
  const catchUp = new CatchUp(executor, reporter, 2 * welcome.heartbeatSeconds);
  return { link, reporter, departure, queue, executor, checkpoints, sampler, residuals, catchUp };
}

/**
 * What a worker is made of, each part connected with those that it needs.
 *
 * @module
 */

import { ResidualKeeper } from "../allreduce/residuals.ts";
import { Contact } from "../protocol/coordinator_link.ts";
import { now } from "../protocol/timeouts.ts";
import type { Transport } from "../protocol/transport.ts";
import type { Replica } from "../replica/replica.ts";
import { Following } from "./catch_up.ts";
import { CheckpointWriter } from "./checkpoint_writer.ts";
import { Departure } from "./departure.ts";
import type { Welcome } from "./join.ts";
import type { WorkerOptions } from "./options.ts";
import { Voice } from "./reporter.ts";
import { Workbench } from "./step_executor.ts";
import { Tasks } from "./task_queue.ts";

/** What parts ask of their worker. */
export interface WorkerEffects {
  /** Something begins; throws where the worker is to do nothing any more. */
  begin(phase: string): void;
  /** The worker can't go on. */
  fail(error: unknown): void;
  /** A task has ended: a step that is committed may be ended next. */
  goAlong(): void;
}

/** The parts of a worker. */
export interface WorkerParts {
  /** What is known of the coordinator. */
  contact: Contact;
  /** What the worker says. */
  voice: Voice;
  /** How it leaves. */
  departure: Departure;
  /** What it does, one after the other. */
  tasks: Tasks;
  /** What it does with its replica. */
  bench: Workbench;
  /** Its part in checkpoints. */
  checkpoints: CheckpointWriter;
  /** What encoding its sums has lost. */
  residuals: ResidualKeeper;
  /** How it gets the state of the run. */
  following: Following;
}

/** The parts of a worker that was welcomed. */
export function assemble(
  transport: Transport,
  replica: Replica,
  options: WorkerOptions,
  welcome: Welcome,
  effects: WorkerEffects,
): WorkerParts {
  const { run, member, onEvent } = options;
  const contact = new Contact(welcome, {
    run,
    ...welcome,
    transport,
    onLost: () => onEvent?.({ kind: "alone" }),
    onCutOff: (isCutOff) => onEvent?.({ kind: "cut off", isCutOff }),
  });
  const departure = new Departure(welcome.heartbeatSeconds, now);
  const voice = new Voice(transport, run, member, replica, contact, {
    transferred: () => bench.transferred,
    isLeaving: () => departure.isAsked,
  });
  const bench: Workbench = new Workbench(replica, welcome, {
    begin: (phase) => effects.begin(phase),
    send: (reducer, fields, payload) => voice.transfer(reducer, fields, payload),
    reach: (point, step) => options.onFaultPoint?.(point, step),
    fail: (error) => effects.fail(error),
  });
  const tasks = new Tasks((answer) => voice.publish(answer), (error) => effects.fail(error), () => {
    voice.setPhase("ready");
    effects.goAlong();
  });
  const checkpoints = new CheckpointWriter(replica, {
    ...options,
    pin: () => bench.pin(),
    pinned: (step) => bench.pinned(step),
    tell: (step, result) => voice.saved(step, result),
    onKept: (step, place) => onEvent?.({ kind: "kept", step, place }),
  });
  const onLost = (reason: string) => onEvent?.({ kind: "residualsDropped", reason });
  const residuals = new ResidualKeeper(bench.vectors.encoder, options.residuals?.of(member), onLost);
  const following = new Following(bench, voice, 2 * welcome.heartbeatSeconds);
  return { contact, voice, departure, tasks, bench, checkpoints, residuals, following };
}

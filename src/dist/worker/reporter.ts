/**
 * The worker's messages: each frame with its place in the run (term, generation), and heartbeats that carry its phase and progress.
 *
 * @module
 */

import { errorMessage } from "../../errors.ts";
import type { ReportedSum } from "../replica/accumulate.ts";
import type { CoordinatorLink } from "../protocol/coordinator_link.ts";
import { composeFrame, type Composition, type Frame, type FrameFields } from "../protocol/frames.ts";
import { askCoordinator } from "./join.ts";
import { decodeMessage, encodeControl, type Traffic, type Transferred } from "../protocol/messages.ts";
import type { Replica, SaveResult } from "../replica/replica.ts";
import type { SampleResult } from "../replica/samples.ts";
import type { Spent } from "../replica/time_spent.ts";
import { type Message, subjects, type Transport } from "../protocol/transport.ts";
import type { VectorFields } from "../allreduce/member_side.ts";
import type { StepExecutor } from "./step_executor.ts";
import type { Range } from "../vectors/tree.ts";

/** The reporter of one worker. */
export class Reporter {
  #phase = "ready";
  /** A counter that rises with everything that the worker does. */
  #progress = 0;

  /**
   * For a worker that has not done anything yet.
   *
   * @param about what heartbeats report: its traffic and time so far, and whether it wants to leave
   */
  constructor(
    readonly transport: Transport,
    readonly run: string,
    readonly member: string,
    readonly replica: Replica,
    readonly link: CoordinatorLink,
    readonly about: { transferred: () => Transferred; spent: () => Spent; isLeaving: () => boolean },
  ) {}

  /** What the worker has sent, received and dropped so far, and how it has spent its time. */
  get traffic(): Traffic {
    const { link: { stale: staleOrders, malformed: malformedOrders }, about } = this;
    const { rss: memory } = Deno.memoryUsage();
    return { ...about.transferred(), staleOrders, malformedOrders, spent: about.spent(), memory };
  }

  /** The worker's activity has changed. */
  setPhase(phase: string): void {
    this.#phase = phase;
    this.#progress++;
  }

  /** The worker has done something within its activity, or beside it. */
  progress(): void {
    this.#progress++;
  }

  /** The fields that all frames of this worker have. */
  fields<K extends Frame["kind"]>(kind: K): FrameFields & { kind: K } {
    const { run, member: sender, replica: { step }, link: { place: { term, generation } } } = this;
    return { kind, run, sender, term, generation, step };
  }

  /** Sends a frame to the coordinator. */
  publish(frame: Uint8Array): void {
    this.transport.publish(subjects.from(this.run, this.member), frame);
  }

  /** Sends a part of a vector, or the acknowledgement of one, to its reducer. */
  transfer(reducer: string, fields: VectorFields, payload?: Composition): void {
    this.#progress++;
    const frame = composeFrame({ ...this.fields(fields.kind), ...fields }, payload);
    this.transport.compose(subjects.vectors(this.run, reducer, this.member), frame);
  }

  /** A part of a mean has come, or some in a row, in the way that it has come. */
  acknowledge({ sender, step, openedIn, leaves, part, more, byReference }: Frame): void {
    this.transfer(sender, { kind: "ack", step, openedIn, leaves, part, more, byReference });
  }

  /** Offers a sum over micro-batches of the next step. */
  offer([lo, hi]: Range, { sum: { lossSum, tokens }, reports, seconds }: ReportedSum): void {
    const finite = reports.every((report) => report.finite);
    const named = { ...this.fields("offer"), step: this.replica.step + 1, lo, hi, lossSum, tokens, finite };
    this.publish(encodeControl(named, { microBatches: reports, seconds }));
  }

  /** Reports the result of a checkpoint. */
  saved(step: number, result: SaveResult): void {
    this.publish(encodeControl({ ...this.fields("saved"), step }, result));
  }

  /** Reports what became of the samples of a step. */
  sampled(step: number, result: SampleResult): void {
    this.publish(encodeControl({ ...this.fields("sampled"), step }, result));
  }

  /** Answers a newcomer's request for the state that this worker has pinned. */
  answer({ data, respond }: Message, executor: StepExecutor): void {
    const question = decodeMessage(data, this.run);
    if ("refused" in question) return;
    executor.answer(question, { run: this.run, sender: this.member, step: question.step })
      .then((answer) => answer && respond?.(answer));
  }

  /** Tells the coordinator that this worker leaves, with the error if that is why. */
  async leave(error?: unknown): Promise<void> {
    const why = error === undefined ? {} : { error: errorMessage(error) };
    const leave = encodeControl(this.fields("leave"), { ...why, traffic: this.traffic });
    const asked = askCoordinator(this.transport, this.run, this.member, leave, ["alive"]);
    await asked.catch(() => {}); // no coordinator is left to be told
  }

  /** A heartbeat. */
  status(): Uint8Array {
    const { traffic } = this;
    const leaving = this.about.isLeaving() ? { isLeaving: true } as const : {};
    const status = { phase: this.#phase, progress: this.#progress, traffic, ...leaving };
    return encodeControl(this.fields("status"), status);
  }
}

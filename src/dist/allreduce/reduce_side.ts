/**
 * The reducer's side of the all-reduce (in a coordinator or a reducer process): it pulls its parts of the sums of the open step
 * from the members and sends them its parts of the mean, as frames; `window.ts` decides what is in flight.
 *
 * @module
 */

import { RunError } from "../../errors.ts";
import { ReduceWindow } from "./window.ts";
import { BufferPool } from "../vectors/buffer_pool.ts";
import { codecOf } from "../vectors/codecs.ts";
import { FeedbackEncoder } from "../vectors/error_feedback.ts";
import {
  composeFrame,
  type Composition,
  type Frame,
  type FrameFields,
  MAX_HEADER_BYTES,
} from "../protocol/frames.ts";
import type { OfferedSum, StepOfVectors, StepTraffic } from "../protocol/messages.ts";
import type { CoordinationPlan } from "../replica/plan.ts";
import { BLOCK } from "../vectors/sums.ts";
import { partsOf } from "../vectors/parts.ts";
import type { VectorCodec } from "../vectors/codec.ts";

/** Sizes that all steps have in common, and the timeout of a part. */
export interface SumExchangeSizes {
  /** Values of a part. */
  partElements: number;
  /** Most bytes in flight. */
  windowBytes: number;
  /** Seconds after which a part without an answer is sent again. */
  patienceSeconds: number;
}

/** Effects of an exchange. */
export interface SumExchangeEffects {
  /** Run, sender, term and generation of this process's frames. */
  fields<K extends Frame["kind"]>(kind: K): FrameFields & { kind: K };
  /** Sends a frame to one member, or to all. */
  send(frame: Composition, member?: string): void;
  /** When a member was last heard of, in seconds. */
  heardAt(member: string): number;
  /** All own parts of a sum have arrived. */
  pulled(sum: OfferedSum): void;
  /** All members have the own parts of the mean; with the sums of squares of the blocks of each part, and the traffic. */
  reduced(report: { squares: [part: number, squares: number[]][]; traffic: StepTraffic }): void;
}

/** Reduces one owner's parts of the vectors, step after step. */
export class ReduceSide {
  #open: { of: StepOfVectors; window: ReduceWindow; bytesSent: number; bytesReceived: number } | undefined;
  /** Encodes the means. */
  readonly encoder: FeedbackEncoder;
  readonly #buffers: BufferPool;

  /**
   * Without an open step.
   *
   * @param name name of the owner
   */
  constructor(
    readonly name: string,
    readonly sizes: SumExchangeSizes,
    codec: VectorCodec,
    readonly effects: SumExchangeEffects,
  ) {
    this.encoder = new FeedbackEncoder(codec);
    this.#buffers = new BufferPool(sizes.windowBytes);
  }

  /** The open step. */
  get open(): StepOfVectors | undefined {
    return this.#open?.of;
  }

  /** Pulls the sums of a step, or continues after a member was lost; restarts where fewer leaves count than before. */
  reduce(of: StepOfVectors, now: number): void {
    const { owners, values } = of;
    const parts = partsOf(owners, this.name, Math.ceil(values / this.sizes.partElements));
    const { bytesSent, bytesReceived } = this.#open ?? { bytesSent: 0, bytesReceived: 0 };
    if (this.#open && isSameMean(this.#open.of, of)) {
      return this.#open.window.reconfigure(of.sums, of.members, now, parts);
    }
    this.encoder.endStep(false);
    this.encoder.keepOnly(parts);
    if (!owners.includes(this.name)) return;
    const window = this.#windowOf(of, parts);
    this.#open = { of, window, bytesSent, bytesReceived };
    window.advance(now);
    if (window.isDone) window.effects.done(new Map()); // there are more owners than parts
  }

  /** Continues with other sums and fewer members. */
  reconfigure(sums: readonly OfferedSum[], members: Iterable<string>, now: number): void {
    this.#open?.window.reconfigure(sums, members, now);
  }

  /** Ends the step, whose mean was applied or not. */
  close(applied: boolean): void {
    if (this.#open) this.encoder.endStep(applied);
    this.#open = undefined;
  }

  /**
   * Accepts one part of a sum, or the acknowledgement of one part of the mean.
   *
   * @returns false where a sum is not needed (any more), or an acknowledgement is of another attempt
   */
  receive(frame: Frame, now: number): boolean {
    const open = this.#open;
    if (frame.step !== open?.of.step || frame.generation < open.of.openedIn) return frame.kind !== "sum";
    if (frame.kind === "sum") {
      open.bytesSent += frame.payload.length;
      return open.window.receive(frame, now);
    }
    if (frame.openedIn !== open.of.openedIn || frame.leaves !== countOf(open.of)) return false; // of an earlier attempt
    if (!open.window.makes(frame.part)) return false;
    open.bytesReceived += open.window.bytesOf(frame.part);
    open.window.acknowledge(frame.sender, frame.part, now);
    return true;
  }

  /** Repeats what got no answer. */
  tick(now: number): void {
    this.#open?.window.tick(now);
  }

  /** Since when each blocking member has kept the reduction waiting; undefined without an open step. */
  blockedSince(): ReadonlyMap<string, number> | undefined {
    return this.#open?.window.blockedSince();
  }

  #windowOf(of: StepOfVectors, own: readonly number[]): ReduceWindow {
    const { sizes, effects } = this;
    const { step, owners, leaves, sums, members, tokens, lossSum, values } = of;
    const parts = Math.ceil(values / sizes.partElements);
    const whole = { step, parts, openedIn: of.openedIn, leaves: countOf(of), tokens, lossSum, finite: true };
    const windowBytes = sizes.windowBytes / new Set(owners).size; // a member receives from all of them
    const ownSizes = { ...sizes, step, leaves, values, parts: own, windowBytes };
    return new ReduceWindow(sums, members, tokens, ownSizes, this.encoder, {
      pull: ({ member, lo, hi }, part) =>
        effects.send(
          composeFrame({ ...effects.fields("pull"), step, lo, hi, part, parts, tokens }),
          member,
        ),
      sendMean: (part, payload, member) =>
        effects.send(
          composeFrame({
            ...effects.fields("mean"),
            ...whole,
            part,
            codec: this.encoder.codec.name,
            payload,
          }),
          member,
        ),
      heardAt: effects.heardAt,
      pulled: effects.pulled,
      done: (squares) => {
        const { bytesSent, bytesReceived } = this.#open!;
        effects.reduced({
          squares: [...squares].map(([part, sums]) => [part, [...sums]]),
          traffic: { bytesSent, bytesReceived },
        });
      },
    }, this.#buffers);
  }
}

/** Whether the parts of one mean can be used for the other. */
function isSameMean(one: StepOfVectors, other: StepOfVectors): boolean {
  return countOf(one) === countOf(other) && one.leaves === other.leaves && one.values === other.values &&
    one.tokens === other.tokens;
}

/** Number of leaves that count. It identifies the attempt at the mean of a round, because members can only become fewer. */
function countOf({ sums }: StepOfVectors): number {
  return sums.reduce((count, { lo, hi }) => count + hi - lo, 0);
}

/**
 * Values of a part: whole blocks of the norm, within the plan's and the server's limits.
 *
 * @throws {RunError} where not even one block is within them
 */
export function partElementsFor(plan: CoordinationPlan, maxPayload: number): number {
  const blockBytes = codecOf(plan.codec).byteLength(BLOCK);
  const bytes = Math.min(plan.partBytes, maxPayload - MAX_HEADER_BYTES);
  const blocks = Math.floor(bytes / blockBytes);
  if (blocks >= 1) return blocks * BLOCK;
  throw new RunError(
    `parts of a vector are at least ${blockBytes} bytes; the plan allows ${plan.partBytes} and the NATS server's ` +
      `max_payload is ${maxPayload}: raise them (the server's default is 1 MiB)`,
  );
}

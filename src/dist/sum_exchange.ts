/**
 * The side of who averages, coordinator or reducer: it pulls its parts of the sums of the open step from the members and
 * sends them those of the mean, as frames; what is on its way when is decided in `averaging.ts`.
 *
 * @module
 */

import { RunError } from "../errors.ts";
import { Averaging } from "./averaging.ts";
import { codecOf, type VectorCodec } from "./codecs/codecs.ts";
import { FeedbackEncoder } from "./codecs/feedback_encoder.ts";
import { encodeFrame, type Frame, type FrameFields, MAX_HEADER_BYTES } from "./frames.ts";
import type { CoordinationPlan } from "./plan.ts";
import { partsOf } from "./reducers.ts";
import { BLOCK } from "./reduction.ts";
import type { OfferedSum } from "./run_state.ts";

/** What is averaged in a step, and by whom. */
export interface StepOfVectors {
  /** The step. */
  step: number;
  /** The last step before it whose mean was applied. */
  appliedStep: number;
  /** Who averages: part p is that of number p modulo their count. */
  owners: readonly string[];
  /** Sums of all micro-batches, each once. */
  sums: readonly OfferedSum[];
  /** Who gets the mean. */
  members: readonly string[];
  /** Counted tokens of the batch. */
  tokens: number;
  /** Sum of their losses, in nats. */
  lossSum: number;
  /** Values of a vector. */
  values: number;
}

/** Sizes that all steps have in common, and for how long a part is waited for. */
export interface SumExchangeSizes {
  /** Micro-batches of the batch. */
  microBatches: number;
  /** Values of a part. */
  partElements: number;
  /** Budget of bytes on their way. */
  windowBytes: number;
  /** After how long a part that got no answer is sent again. */
  patienceSeconds: number;
}

/** What an exchange does to the world. */
export interface SumExchangeEffects {
  /** Run, sender, term and generation of the frames of this one. */
  fields<K extends Frame["kind"]>(kind: K): FrameFields & { kind: K };
  /** Sends a frame to one member, or to all. */
  send(frame: Uint8Array, member?: string): void;
  /** When a member was last heard of, in seconds. */
  heardAt(member: string): number;
  /** All own parts of a sum are here. */
  pulled(sum: OfferedSum): void;
  /** All members have the own parts of the mean; of each, the sums of squares of its blocks. */
  reduced(squares: ReadonlyMap<number, readonly number[]>): void;
}

/** The vectors of one step after the other, as far as they are those of one owner. */
export class SumExchange {
  #open: { step: number; averaging: Averaging } | undefined;
  readonly #encoder: FeedbackEncoder;

  /**
   * Nothing on its way.
   *
   * @param name of the owner
   */
  constructor(
    readonly name: string,
    readonly sizes: SumExchangeSizes,
    codec: VectorCodec,
    readonly effects: SumExchangeEffects,
  ) {
    this.#encoder = new FeedbackEncoder(codec);
  }

  /** The step that is open. */
  get step(): number | undefined {
    return this.#open?.step;
  }

  /** Pulls the sums of a step, or goes on with them after somebody was lost. */
  average(of: StepOfVectors, now: number): void {
    const { step, owners, values } = of;
    const parts = partsOf(owners, this.name, Math.ceil(values / this.sizes.partElements));
    if (this.#open) return this.#open.averaging.reform(of.sums, of.members, now, parts);
    this.#encoder.keepOnly(parts);
    if (!owners.includes(this.name)) return;
    const averaging = this.#averagingOf(of, parts);
    this.#open = { step, averaging };
    averaging.advance(now);
    if (averaging.isDone) averaging.effects.done(new Map()); // there are more owners than parts
  }

  /** Goes on with other sums and fewer members. */
  reform(sums: readonly OfferedSum[], members: Iterable<string>, now: number): void {
    this.#open?.averaging.reform(sums, members, now);
  }

  /** The step is over: its mean was applied, or not. */
  close(applied: boolean): void {
    if (this.#open) this.#encoder.settle(applied);
    this.#open = undefined;
  }

  /**
   * Takes one part of a sum, or the acknowledgement of one of the mean.
   *
   * @returns false where a sum is not needed (any more)
   */
  receive(frame: Frame, now: number): boolean {
    const averaging = frame.step === this.#open?.step ? this.#open.averaging : undefined;
    if (frame.kind === "sum") return averaging?.receive(frame, now) ?? false;
    averaging?.acknowledge(frame.sender, frame.part, now);
    return true;
  }

  /** Sends again what got no answer. */
  tick(now: number): void {
    this.#open?.averaging.tick(now);
  }

  /** Since when each member has kept the others waiting; undefined where nothing is averaged. */
  owing(): ReadonlyMap<string, number> | undefined {
    return this.#open?.averaging.owing();
  }

  #averagingOf(
    { step, owners, sums, members, tokens, lossSum, values }: StepOfVectors,
    parts: readonly number[],
  ): Averaging {
    const { sizes, effects } = this;
    const all = Math.ceil(values / sizes.partElements);
    const whole = { step, parts: all, lo: 0, hi: sizes.microBatches, tokens, lossSum, finite: true };
    const windowBytes = sizes.windowBytes / new Set(owners).size; // a member hears all of them
    return new Averaging(sums, members, tokens, { ...sizes, windowBytes, values, parts }, this.#encoder, {
      pull: ({ member, lo, hi }, part) =>
        effects.send(
          encodeFrame({ ...effects.fields("pull"), step, lo, hi, part, parts: all, tokens }),
          member,
        ),
      sendMean: (part, payload, member) =>
        effects.send(
          encodeFrame({
            ...effects.fields("mean"),
            ...whole,
            part,
            codec: this.#encoder.codec.name,
            payload,
          }),
          member,
        ),
      heardAt: effects.heardAt,
      pulled: effects.pulled,
      done: effects.reduced,
    });
  }
}

/**
 * Values of a part: whole blocks of the norm, within the plan and what the server lets pass.
 *
 * @throws {RunError} where not even one block passes
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

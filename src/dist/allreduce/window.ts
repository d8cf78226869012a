/**
 * Flow control of one step's all-reduce: the reducer pulls the members' sums part by part, adds them, divides by the tokens and
 * publishes the mean part by part. It pulls and waits for acknowledgements because NATS has no back-pressure: it drops a consumer
 * that lags behind. In each direction, at most a fixed number of bytes is in flight.
 *
 * @module
 */

import { TransientError } from "../../errors.ts";
import { BufferPool } from "../vectors/buffer_pool.ts";
import type { FeedbackEncoder } from "../vectors/error_feedback.ts";
import type { Frame } from "../protocol/frames.ts";
import type { OfferedSum } from "../protocol/messages.ts";
import { writePartOfMean } from "./mean.ts";
import type { MeanPart } from "./mean_memory.ts";
import { absentFrom, PartialSums, type SumPart, type Sums } from "./partial_sums.ts";
import { Publication } from "./publication.ts";

/** Sizes of the vectors, most bytes in flight, and the timeout of a part. */
export interface WindowSizes {
  /** The step. */
  step: number;
  /** Leaves of the tree. */
  leaves: number;
  /** Values of the vector. */
  values: number;
  /** The parts that are reduced here, in this order. */
  parts: readonly number[];
  /** Values of a part, whole blocks of the norm. */
  partElements: number;
  /** Most bytes in flight. */
  windowBytes: number;
  /** Seconds after which a part without an answer is sent again; doubled each time. */
  patienceSeconds: number;
}

/** Effects of a reduction. */
export interface WindowEffects {
  /** Whether a member's sums are read from its memory: nothing of them is in flight then. */
  isNear(member: string): boolean;
  /** Pulls one part of a sum from its member, as bytes or by reference. */
  pull(sum: OfferedSum, part: number, byReference: boolean): void;
  /** Memory for a part of the mean that neighbours read there; undefined where it has to travel. */
  share(part: number, bytes: number): MeanPart | undefined;
  /** Sends a part of the mean to all, or again to one; its bytes may be overwritten after the call. */
  sendMean(part: number, mean: MeanPart, member?: string): void;
  /** When a member was last heard of, in seconds. */
  heardAt(member: string): number;
  /** All parts of a sum have arrived here, to be kept if its member is lost. */
  pulled(sum: OfferedSum): void;
  /** All members have all parts of the mean; with the sums of squares of each part's blocks. Called again after each reconfigure. */
  done(squares: ReadonlyMap<number, readonly number[]>): void;
}

/** A part that was pulled and has not arrived. */
interface Pull {
  sum: OfferedSum;
  part: number;
  /** That travel. */
  bytes: number;
  /** When it was first and last pulled, and how long to wait before pulling again. */
  askedAt: number;
  sentAt: number;
  patience: number;
}

/** The reduction of one step, or of some parts of it. Parts are reduced in order, so that only a window of the vectors is in memory. */
export class ReduceWindow {
  #parts: readonly number[];
  readonly #step: PartialSums;
  readonly #squares = new Map<number, readonly number[]>();
  readonly #pulls = new Map<string, Pull>();
  readonly #mean: Publication;
  #bytesPulled = 0;
  /** The next pull: indices of its part and its sum. */
  #nextPart = 0;
  #nextSum = 0;
  /** Index of a part before which all are complete. */
  #firstPart = 0;
  #sums: readonly OfferedSum[];
  /** When each member last sent a pulled part or an acknowledgement. */
  readonly #deliveredAt = new Map<string, number>();
  /** When any member did. */
  #lastDelivery = -Infinity;

  /**
   * A reduction that begins with the first call of {@linkcode ReduceWindow.advance}.
   *
   * @param sums of all leaves that count, each once
   * @param members receive the mean
   * @param tokens counted tokens of the batch
   * @param encoder encodes the mean; sums are in the same codec
   * @param buffers for waiting sums and published parts
   */
  constructor(
    sums: readonly OfferedSum[],
    members: Iterable<string>,
    readonly tokens: number,
    readonly sizes: WindowSizes,
    readonly encoder: FeedbackEncoder,
    readonly effects: WindowEffects,
    readonly buffers: BufferPool = new BufferPool(0),
  ) {
    this.#parts = sizes.parts;
    this.#step = new PartialSums(sizes.leaves, absentFrom(sums, sizes.leaves), buffers);
    this.#sums = sums;
    this.#mean = new Publication(new Set(members), sizes.windowBytes, sizes.patienceSeconds, {
      sendMean: effects.sendMean,
      give: ({ bytes, reference }) => reference || buffers.give(bytes),
    });
  }

  /** Bytes in flight, waiting to be added, or waiting to be sent. */
  get heldBytes(): number {
    return this.#bytesPulled + this.#step.heldBytes + this.#mean.heldBytes;
  }

  /** Pulls what the window has space for. Called once to begin; later parts follow from what arrives. */
  advance(now: number): void {
    this.#mean.advance(now);
    while (
      this.#sums.length > 0 && this.#nextPart < this.#parts.length &&
      this.#partsInFlight() < this.#partsAllowed()
    ) {
      const sum = this.#sums[this.#nextSum];
      const part = this.#parts[this.#nextPart];
      if (!this.#pulls.has(keyOf(sum, part)) && !this.#step.has(sum.lo, sum.hi, part)) {
        const bytes = this.effects.isNear(sum.member) ? 0 : this.bytesOf(part);
        if (bytes > 0 && !this.#hasSpaceFor(bytes, this.#nextPart)) return;
        this.#bytesPulled += bytes;
        const pull = { sum, part, bytes, askedAt: now, sentAt: now, patience: this.sizes.patienceSeconds };
        this.#pulls.set(keyOf(sum, part), pull);
        this.#pull(pull);
      }
      this.#nextSum = (this.#nextSum + 1) % this.#sums.length;
      if (this.#nextSum === 0) this.#nextPart++;
    }
  }

  /**
   * Whether a part of a sum may be pulled. While a member is silent no more than a window and one part of each other sum pile up; of the
   * first part that is incomplete all are pulled, so that it can be completed.
   */
  #hasSpaceFor(bytes: number, nextPart: number): boolean {
    const { windowBytes } = this.sizes;
    if (this.#bytesPulled > 0 && this.#bytesPulled + bytes > windowBytes) return false;
    while (this.#firstPart < nextPart && this.#step.isComplete(this.#parts[this.#firstPart])) {
      this.#firstPart++;
    }
    if (nextPart === this.#firstPart) return true;
    return this.#bytesPulled + this.#step.heldBytes + bytes <= windowBytes + this.#sums.length * bytes;
  }

  /**
   * Continues with other sums and fewer members after a loss, or with more parts. What has arrived is kept; what was pulled from a
   * lost member is pulled from those that compute it now.
   */
  reconfigure(
    sums: readonly OfferedSum[],
    members: Iterable<string>,
    now: number,
    parts: readonly number[] = this.#parts,
  ): void {
    this.#sums = sums;
    this.#parts = [...this.#parts, ...parts.filter((part) => !this.#parts.includes(part))];
    const wanted = new Map(sums.map((sum) => [rangeKeyOf(sum), sum.member]));
    for (const [key, { sum, bytes }] of this.#pulls) {
      if (wanted.get(rangeKeyOf(sum)) === sum.member) continue;
      this.#pulls.delete(key);
      this.#bytesPulled -= bytes;
    }
    this.#beginAgain();
    this.#mean.keepOnly(new Set(members));
    this.#goOn(now);
  }

  /** The next pull is the first one that is missing. */
  #beginAgain(): void {
    this.#nextSum = 0;
    this.#nextPart = 0;
    this.#firstPart = 0;
    while (this.#nextPart < this.#parts.length && this.#step.isComplete(this.#parts[this.#nextPart])) {
      this.#nextPart++;
    }
  }

  /** After members have acknowledged parts, or have gone. */
  #goOn(now: number): void {
    if (this.isDone) this.effects.done(this.#squares);
    else this.advance(now);
  }

  /** Whether all members have all parts of the mean. */
  get isDone(): boolean {
    return this.#mean.acknowledged === this.#parts.length;
  }

  /**
   * Accepts one part of a sum, whichever member sent it.
   *
   * @param sum the part, where it is in the memory of another process
   * @returns false where it is not needed (any more), or not of the expected size
   */
  receive(frame: Frame, now: number, sum: SumPart = { bytes: frame.payload }): boolean {
    const { codec } = this.encoder;
    const key = keyOf(frame, frame.part);
    const pull = this.#pulls.get(key);
    if (!pull || frame.codec !== codec.name || sum.bytes.length !== this.bytesOf(frame.part)) return false;
    if (sum.holds?.() === false) return false;
    this.#pulls.delete(key);
    this.#bytesPulled -= pull.bytes;
    this.#noteDelivery(frame.sender, now);
    const sums = this.#step.add(frame.lo, frame.hi, frame.part, sum);
    if (sums) this.#finish(frame.part, sums);
    if (this.#hasAllOf(pull.sum)) this.effects.pulled(pull.sum);
    this.advance(now);
    return true;
  }

  /** Computes a part of the mean from the sums over the whole batch. Its norm is that of the mean as the members decode it. */
  #finish(part: number, sums: Sums): void {
    const { encoder, encoder: { codec }, tokens, sizes: { leaves, step } } = this;
    const values = this.#valuesOf(part);
    const encoding = encoder.feedbackOf(part, values, 1, `mean of step ${step}`);
    const bytes = this.bytesOf(part);
    const mean = this.effects.share(part, bytes) ?? { bytes: this.buffers.take(bytes) };
    const squares = writePartOfMean({ sums, codec, leaves, tokens, values }, mean.bytes, encoding);
    if (this.#step.reopen(part, sums)) return this.#pullOverwritten(part);
    this.#squares.set(part, squares);
    this.#step.release(sums.values());
    this.#mean.add(part, mean);
  }

  /** Sums were overwritten while they were added, by members that were frozen: they are pulled again. */
  #pullOverwritten(part: number): void {
    const isLost = ({ lo, hi, member }: OfferedSum) =>
      !this.#mean.members.has(member) && !this.#step.has(lo, hi, part);
    const lost = this.#sums.find(isLost);
    if (!lost) return this.#beginAgain();
    throw new TransientError(
      `${lost.member} was lost and has overwritten its sum of step ${this.sizes.step}`,
    );
  }

  /** Whether a part of the mean is computed here. */
  makes(part: number): boolean {
    return this.#parts.includes(part);
  }

  /** A member has a part of the mean. */
  acknowledge(member: string, part: number, now: number): void {
    const before = this.#mean.acknowledged;
    if (!this.#mean.acknowledge(member, part)) return;
    this.#noteDelivery(member, now);
    if (this.#mean.acknowledged > before) this.#goOn(now);
  }

  #noteDelivery(member: string, now: number): void {
    this.#deliveredAt.set(member, now);
    this.#lastDelivery = now;
  }

  /** Since when each blocking member has kept the reduction waiting without delivering anything. */
  blockedSince(): Map<string, number> {
    const since = new Map<string, number>();
    const note = (member: string, askedAt: number) => {
      const waited = Math.max(askedAt, this.#deliveredAt.get(member) ?? 0);
      since.set(member, Math.min(waited, since.get(member) ?? Infinity));
    };
    for (const { sum, askedAt } of this.#pulls.values()) note(sum.member, askedAt);
    for (const [member, askedAt] of this.#mean.missing()) note(member, askedAt);
    return since;
  }

  /**
   * Repeats what got no answer, only to members that were heard of since: for others it would only queue up. While anything
   * arrives, the rest is assumed to be in flight behind it: repetitions over a slow link would make it slower.
   */
  tick(now: number): void {
    const isDue = (member: string, sentAt: number, patience: number) =>
      now - Math.max(sentAt, this.#lastDelivery) >= patience && this.effects.heardAt(member) > sentAt;
    for (const pull of this.#pulls.values()) {
      const { sum, sentAt, patience } = pull;
      if (!isDue(sum.member, sentAt, patience)) continue;
      Object.assign(pull, { sentAt: now, patience: 2 * patience });
      this.#pull(pull);
    }
    this.#mean.repeat(now, isDue);
  }

  /** Pulls a part again at once that came in a way in which it can't be used. */
  pullAgain({ lo, hi, part }: Frame): void {
    const pull = this.#pulls.get(keyOf({ lo, hi }, part));
    if (pull) this.#pull(pull);
  }

  #pull({ sum, part }: Pull): void {
    this.effects.pull(sum, part, this.effects.isNear(sum.member));
  }

  #hasAllOf({ lo, hi }: OfferedSum): boolean {
    return this.#parts.findLast((part) => !this.#step.has(lo, hi, part)) === undefined;
  }

  /** Parts that were pulled and that some members don't have yet. */
  #partsInFlight(): number {
    return this.#nextPart - this.#mean.acknowledged;
  }

  #partsAllowed(): number {
    return Math.max(2, Math.floor(this.sizes.windowBytes / (4 * this.sizes.partElements)));
  }

  #valuesOf(part: number): number {
    const { values, partElements } = this.sizes;
    return Math.min(partElements, values - part * partElements);
  }

  /** Encoded size of a part of a sum or of the mean. */
  bytesOf(part: number): number {
    return this.encoder.codec.byteLength(this.#valuesOf(part));
  }
}

type Span = Pick<OfferedSum, "lo" | "hi">;

const rangeKeyOf = ({ lo, hi }: Span) => `${lo}-${hi}`;

const keyOf = (range: Span, part: number) => `${rangeKeyOf(range)}/${part}`;

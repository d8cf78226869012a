/**
 * Flow control of one step's all-reduce: the reducer pulls the members' sums part by part, adds them, divides by the tokens and
 * publishes the mean part by part. It pulls and waits for acknowledgements because NATS has no back-pressure: it drops a consumer
 * that lags behind. In each direction, at most a fixed number of bytes is in flight.
 *
 * @module
 */

import { BufferPool } from "../vectors/buffer_pool.ts";
import type { FeedbackEncoder } from "../vectors/error_feedback.ts";
import type { Frame } from "../protocol/frames.ts";
import type { OfferedSum } from "../protocol/messages.ts";
import { absentFrom, PartialSums, type Sums } from "./partial_sums.ts";
import { writePartOfMean } from "./mean.ts";

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
  /** Pulls one part of a sum from its member. */
  pull(sum: OfferedSum, part: number): void;
  /** Sends a part of the mean to all, or again to one; the payload may be overwritten after the call. */
  sendMean(part: number, payload: Uint8Array, member?: string): void;
  /** When a member was last heard of, in seconds. */
  heardAt(member: string): number;
  /** All parts of a sum have arrived. */
  pulled(sum: OfferedSum): void;
  /** All members have all parts of the mean; with the sums of squares of each part's blocks. Called again after each reconfigure. */
  done(squares: ReadonlyMap<number, readonly number[]>): void;
}

/** A part that was pulled and has not arrived. */
interface Pull {
  sum: OfferedSum;
  part: number;
  bytes: number;
  /** When it was first and last pulled, and how long to wait before pulling again. */
  askedAt: number;
  sentAt: number;
  patience: number;
}

/** A part of the mean that some members have not acknowledged. */
interface Published {
  part: number;
  payload: Uint8Array<ArrayBuffer>;
  missing: Set<string>;
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
  readonly #published = new Map<number, Published>();
  /** Parts of the mean that wait for space in the window. */
  readonly #ready: { part: number; payload: Uint8Array<ArrayBuffer> }[] = [];
  #bytesPulled = 0;
  #bytesPublished = 0;
  /** The next pull: indices of its part and its sum. */
  #nextPart = 0;
  #nextSum = 0;
  #acknowledged = 0;
  #sums: readonly OfferedSum[];
  #members: ReadonlySet<string>;
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
    this.#members = new Set(members);
  }

  /** Bytes in flight, waiting to be added, or waiting to be sent. */
  get heldBytes(): number {
    const ready = this.#ready.reduce((sum, { payload }) => sum + payload.length, 0);
    return this.#bytesPulled + this.#bytesPublished + this.#step.heldBytes + ready;
  }

  /** Pulls what the window has space for. Called once to begin; later parts follow from what arrives. */
  advance(now: number): void {
    this.#publishReady(now);
    while (
      this.#sums.length > 0 && this.#nextPart < this.#parts.length &&
      this.#partsInFlight() < this.#partsAllowed()
    ) {
      const sum = this.#sums[this.#nextSum];
      const part = this.#parts[this.#nextPart];
      if (!this.#pulls.has(keyOf(sum, part)) && !this.#step.has(sum.lo, sum.hi, part)) {
        const bytes = this.bytesOf(part);
        if (this.#bytesPulled > 0 && this.#bytesPulled + bytes > this.sizes.windowBytes) return;
        this.#pull({ sum, part, bytes, askedAt: now, sentAt: now, patience: this.sizes.patienceSeconds });
      }
      this.#nextSum = (this.#nextSum + 1) % this.#sums.length;
      if (this.#nextSum === 0) this.#nextPart++;
    }
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
    this.#members = new Set(members);
    this.#parts = [...this.#parts, ...parts.filter((part) => !this.#parts.includes(part))];
    const wanted = new Map(sums.map((sum) => [`${sum.lo}-${sum.hi}`, sum.member]));
    for (const [key, { sum, bytes }] of this.#pulls) {
      if (wanted.get(`${sum.lo}-${sum.hi}`) === sum.member) continue;
      this.#pulls.delete(key);
      this.#bytesPulled -= bytes;
    }
    this.#nextSum = 0;
    this.#nextPart = 0;
    while (this.#nextPart < this.#parts.length && this.#step.isComplete(this.#parts[this.#nextPart])) {
      this.#nextPart++;
    }
    const wasDone = this.isDone;
    for (const published of [...this.#published.values()]) {
      for (const member of published.missing) {
        if (!this.#members.has(member)) published.missing.delete(member);
      }
      this.#retire(published, now);
    }
    if (wasDone) this.effects.done(this.#squares);
    else this.advance(now);
  }

  /** Whether all members have all parts of the mean. */
  get isDone(): boolean {
    return this.#acknowledged === this.#parts.length;
  }

  /**
   * Accepts one part of a sum, whichever member sent it.
   *
   * @returns false where it is not needed (any more), or not of the expected size
   */
  receive(frame: Frame, now: number): boolean {
    const { codec } = this.encoder;
    const key = keyOf(frame, frame.part);
    const pull = this.#pulls.get(key);
    if (!pull || frame.codec !== codec.name || frame.payload.length !== pull.bytes) return false;
    this.#pulls.delete(key);
    this.#bytesPulled -= pull.bytes;
    this.#noteDelivery(frame.sender, now);
    const sums = this.#step.add(frame.lo, frame.hi, frame.part, frame.payload);
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
    const payload = this.buffers.take(this.bytesOf(part));
    this.#squares.set(part, writePartOfMean({ sums, codec, leaves, tokens, values }, payload, encoding));
    this.#step.release(sums.values());
    this.#ready.push({ part, payload });
  }

  /** Whether a part of the mean is computed here. */
  makes(part: number): boolean {
    return this.#parts.includes(part);
  }

  /** A member has a part of the mean. */
  acknowledge(member: string, part: number, now: number): void {
    const published = this.#published.get(part);
    if (!published?.missing.delete(member)) return;
    this.#noteDelivery(member, now);
    this.#retire(published, now);
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
    for (const { missing, askedAt } of this.#published.values()) {
      missing.forEach((member) => note(member, askedAt));
    }
    return since;
  }

  /**
   * Repeats what got no answer, only to members that were heard of since: for others it would only queue up. While anything
   * arrives, the rest is assumed to be in flight behind it: repetitions over a slow link would make it slower.
   */
  tick(now: number): void {
    const isDue = (sent: Pull | Published, member: string) =>
      now - Math.max(sent.sentAt, this.#lastDelivery) >= sent.patience &&
      this.effects.heardAt(member) > sent.sentAt;
    for (const pull of this.#pulls.values()) {
      if (!isDue(pull, pull.sum.member)) continue;
      postpone(pull, now);
      this.effects.pull(pull.sum, pull.part);
    }
    for (const published of this.#published.values()) {
      const due = [...published.missing].filter((member) => isDue(published, member));
      if (due.length === 0) continue;
      postpone(published, now);
      for (const member of due) this.effects.sendMean(published.part, published.payload, member);
    }
  }

  #pull(pull: Pull): void {
    this.#pulls.set(keyOf(pull.sum, pull.part), pull);
    this.#bytesPulled += pull.bytes;
    this.effects.pull(pull.sum, pull.part);
  }

  #hasAllOf({ lo, hi }: OfferedSum): boolean {
    return this.#parts.findLast((part) => !this.#step.has(lo, hi, part)) === undefined;
  }

  #publishReady(now: number): void {
    for (let next = this.#ready[0]; next; next = this.#ready[0]) {
      const { part, payload } = next;
      if (this.#bytesPublished > 0 && this.#bytesPublished + payload.length > this.sizes.windowBytes) return;
      this.#ready.shift();
      const missing = new Set(this.#members);
      const patience = this.sizes.patienceSeconds;
      this.#published.set(part, { part, payload, missing, askedAt: now, sentAt: now, patience });
      this.#bytesPublished += payload.length;
      this.effects.sendMean(part, payload);
    }
  }

  /** Frees the space of a part that all members have. */
  #retire({ part, payload, missing }: Published, now: number): void {
    if (missing.size > 0) return;
    this.#published.delete(part);
    this.#bytesPublished -= payload.length;
    this.buffers.give(payload);
    this.#acknowledged++;
    if (this.isDone) this.effects.done(this.#squares);
    else this.advance(now);
  }

  /** Parts that were pulled and that some members don't have yet. */
  #partsInFlight(): number {
    return this.#nextPart - this.#acknowledged;
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

function postpone(sent: { sentAt: number; patience: number }, now: number): void {
  sent.sentAt = now;
  sent.patience *= 2;
}

function keyOf({ lo, hi }: { lo: number; hi: number }, part: number): string {
  return `${lo}-${hi}/${part}`;
}

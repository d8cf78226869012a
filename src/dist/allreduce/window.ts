/**
 * How the vectors of one step travel: who averages pulls the members' sums part by part, adds them, divides by the
 * tokens and publishes the mean part by part. It asks, and waits for acknowledgements, because NATS drops a consumer that
 * lags behind without holding anybody up: never more than a budget of bytes is on its way, in either direction.
 *
 * @module
 */

import { BufferPool } from "../vectors/buffer_pool.ts";
import type { FeedbackEncoder } from "../vectors/error_feedback.ts";
import type { Frame } from "../protocol/frames.ts";
import type { OfferedSum } from "../protocol/messages.ts";
import { absentFrom, PartialSums, type Sums } from "./partial_sums.ts";
import { writePartOfMean } from "./mean.ts";

/** Sizes of the vectors, what may be on its way, and for how long. */
export interface WindowSizes {
  /** The step that is averaged. */
  step: number;
  /** Leaves of the tree. */
  leaves: number;
  /** Values of the vector. */
  values: number;
  /** The parts that are averaged here, in this order. */
  parts: readonly number[];
  /** Values of a part, whole blocks of the norm. */
  partElements: number;
  /** Budget of bytes on their way. */
  windowBytes: number;
  /** After how long a part that got no answer is sent again; doubled each time. */
  patienceSeconds: number;
}

/** What an averaging does to the world. */
export interface WindowEffects {
  /** Asks a member for one part of a sum. */
  pull(sum: OfferedSum, part: number): void;
  /** Sends a part of the mean to all, or again to one; the payload may be overwritten when it has returned. */
  sendMean(part: number, payload: Uint8Array, member?: string): void;
  /** When a member was last heard of, in seconds. */
  heardAt(member: string): number;
  /** All parts of a sum are here. */
  pulled(sum: OfferedSum): void;
  /** All members have all parts of the mean; of each, the sums of squares of its blocks. Told again after each reconfigure. */
  done(squares: ReadonlyMap<number, readonly number[]>): void;
}

/** A part that was asked for. */
interface Pull {
  sum: OfferedSum;
  part: number;
  bytes: number;
  /** When it was first and when it was last asked for, how long to wait for it. */
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

/** The averaging of one step, or of some parts of it. Parts go through in order, so that only a window of the vectors is ever held. */
export class ReduceWindow {
  #parts: readonly number[];
  readonly #step: PartialSums;
  readonly #squares = new Map<number, readonly number[]>();
  readonly #pulls = new Map<string, Pull>();
  readonly #published = new Map<number, Published>();
  /** Parts of the mean that wait for room in the window. */
  readonly #ready: { part: number; payload: Uint8Array<ArrayBuffer> }[] = [];
  #bytesPulled = 0;
  #bytesPublished = 0;
  /** The next pull: of which of the parts, from which sum. */
  #nextPart = 0;
  #nextSum = 0;
  #acknowledged = 0;
  #sums: readonly OfferedSum[];
  #members: ReadonlySet<string>;
  /** When each member last delivered what it was asked for. */
  readonly #deliveredAt = new Map<string, number>();
  /** When anybody did. */
  #lastDelivery = -Infinity;

  /**
   * An averaging that begins with the first call of {@linkcode ReduceWindow.advance}.
   *
   * @param sums of all leaves that count, each once
   * @param members who gets the mean
   * @param tokens counted tokens of the batch
   * @param encoder writes the mean; sums come in the same codec
   * @param buffers for what waits and what is published
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

  /** Bytes on their way, waiting to be added, or waiting to be sent. */
  get heldBytes(): number {
    const ready = this.#ready.reduce((sum, { payload }) => sum + payload.length, 0);
    return this.#bytesPulled + this.#bytesPublished + this.#step.heldBytes + ready;
  }

  /** Asks for what the window has room for. Called once to begin, then it goes on by itself. */
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
   * Goes on with other sums and fewer members, since one was lost, or with more parts. What has arrived is kept; what was asked
   * of a lost member is asked of those who have it now.
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
   * Takes one part of a sum, whoever sent it.
   *
   * @returns false where it is not needed (any more), or not of the size that was asked for
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

  /** Makes a part of the mean from the sums over the whole batch. Its norm is that of what the members will read. */
  #finish(part: number, sums: Sums): void {
    const { encoder, encoder: { codec }, tokens, sizes: { leaves, step } } = this;
    const values = this.#valuesOf(part);
    const encoding = encoder.feedbackOf(part, values, 1, `mean of step ${step}`);
    const payload = this.buffers.take(this.bytesOf(part));
    this.#squares.set(part, writePartOfMean({ sums, codec, leaves, tokens, values }, payload, encoding));
    this.#step.release(sums.values());
    this.#ready.push({ part, payload });
  }

  /** Whether a part of the mean is made here. */
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

  /** Since when each member has kept the averaging waiting, without delivering anything. */
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
   * Sends again what got no answer from members that were heard of since: to others it would only pile up. While anything
   * arrives, the rest is on its way behind it: what is sent twice over a slow link makes it slower.
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

  /** Makes room for more where all members have a part. */
  #retire({ part, payload, missing }: Published, now: number): void {
    if (missing.size > 0) return;
    this.#published.delete(part);
    this.#bytesPublished -= payload.length;
    this.buffers.give(payload);
    this.#acknowledged++;
    if (this.isDone) this.effects.done(this.#squares);
    else this.advance(now);
  }

  /** Parts that were asked for and are not with all members yet. */
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

  /** How many bytes a part of a sum or of the mean has. */
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

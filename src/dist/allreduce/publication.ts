/**
 * Flow control of a mean on its way to the members: parts are published in the order in which they were made, at most a fixed number
 * of bytes ahead of the slowest acknowledgement.
 *
 * @module
 */

import type { MeanPart } from "./mean_memory.ts";

/** Effects of a publication. */
export interface PublicationEffects {
  /** Sends a part of the mean to all, or again to one. */
  sendMean(part: number, mean: MeanPart, member?: string): void;
  /** A part's memory is no longer needed. */
  give(mean: MeanPart): void;
}

/** A part of the mean that some members have not acknowledged. */
interface Published {
  readonly part: number;
  readonly mean: MeanPart;
  readonly missing: Set<string>;
  readonly askedAt: number;
  sentAt: number;
  patience: number;
}

/** Publishes one mean. */
export class Publication {
  readonly #published = new Map<number, Published>();
  /** Parts that wait for space. */
  readonly #ready: { part: number; mean: MeanPart }[] = [];
  #bytes = 0;
  #acknowledged = 0;

  /**
   * Nothing is published.
   *
   * @param receivers members that receive the mean
   * @param windowBytes most bytes in flight
   * @param patienceSeconds after which a part without an acknowledgement is sent again; doubled each time
   */
  constructor(
    private receivers: ReadonlySet<string>,
    readonly windowBytes: number,
    readonly patienceSeconds: number,
    readonly effects: PublicationEffects,
  ) {}

  /** Who receives the mean. */
  get members(): ReadonlySet<string> {
    return this.receivers;
  }

  /** Bytes in flight, or waiting to be sent. */
  get heldBytes(): number {
    return this.#ready.reduce((sum, { mean }) => sum + mean.bytes.length, this.#bytes);
  }

  /** How many parts all members have. */
  get acknowledged(): number {
    return this.#acknowledged;
  }

  /** A part of the mean was made. */
  add(part: number, mean: MeanPart): void {
    this.#ready.push({ part, mean });
  }

  /** Sends what there is space for. */
  advance(now: number): void {
    for (let next = this.#ready[0]; next; next = this.#ready[0]) {
      const { part, mean } = next, { length } = mean.bytes;
      if (this.#bytes > 0 && this.#bytes + length > this.windowBytes) return;
      this.#ready.shift();
      const missing = new Set(this.receivers), patience = this.patienceSeconds;
      this.#published.set(part, { part, mean, missing, askedAt: now, sentAt: now, patience });
      this.#bytes += length;
      this.effects.sendMean(part, mean);
    }
  }

  /**
   * A member has a part.
   *
   * @returns whether that was new
   */
  acknowledge(member: string, part: number): boolean {
    const published = this.#published.get(part);
    if (!published?.missing.delete(member)) return false;
    this.#retire(published);
    return true;
  }

  /** Only these members remain. */
  keepOnly(members: ReadonlySet<string>): void {
    this.receivers = members;
    for (const published of [...this.#published.values()]) {
      for (const member of published.missing) {
        if (!members.has(member)) published.missing.delete(member);
      }
      this.#retire(published);
    }
  }

  /** Each member that has not acknowledged a part, and since when it could have. */
  *missing(): Generator<[member: string, askedAt: number]> {
    for (const { missing, askedAt } of this.#published.values()) {
      for (const member of missing) yield [member, askedAt];
    }
  }

  /**
   * Sends again what got no answer.
   *
   * @param isDue whether that is so, for a member, what was sent when and how long an answer may take
   */
  repeat(now: number, isDue: (member: string, sentAt: number, patience: number) => boolean): void {
    for (const published of this.#published.values()) {
      const { part, mean, missing, sentAt, patience } = published;
      const due = [...missing].filter((member) => isDue(member, sentAt, patience));
      if (due.length === 0) continue;
      Object.assign(published, { sentAt: now, patience: 2 * patience });
      for (const member of due) this.effects.sendMean(part, mean, member);
    }
  }

  /** Frees the space of a part that all members have. */
  #retire({ part, mean, missing }: Published): void {
    if (missing.size > 0) return;
    this.#published.delete(part);
    this.#bytes -= mean.bytes.length;
    this.#acknowledged++;
    this.effects.give(mean);
  }
}

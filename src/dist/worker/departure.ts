/**
 * How a worker leaves that is asked to end: it tells the coordinator with its heartbeats, continues until it is released, and leaves
 * on its own where no answer comes.
 *
 * @module
 */

/** Heartbeats without an answer after which a worker that wants to leave does so. */
const PATIENCE_HEARTBEATS = 10;

/** The departure of one worker. */
export class Departure {
  #askedAt: number | undefined;
  #answeredAt = -Infinity;

  /**
   * Not asked to leave yet.
   *
   * @param heartbeatSeconds between two heartbeats
   * @param now seconds on a clock that does not go back
   */
  constructor(readonly heartbeatSeconds: number, readonly now: () => number) {}

  /** The worker is to leave. */
  ask(): void {
    this.#askedAt ??= this.now();
  }

  /** Whether it is to leave. */
  get isAsked(): boolean {
    return this.#askedAt !== undefined;
  }

  /** The coordinator has answered. */
  noteAnswer(): void {
    this.#answeredAt = this.now();
  }

  /** Whether it is to leave, and the coordinator has not answered for long. */
  get isOverdue(): boolean {
    return this.#askedAt !== undefined &&
      this.now() - Math.max(this.#askedAt, this.#answeredAt) >= PATIENCE_HEARTBEATS * this.heartbeatSeconds;
  }
}

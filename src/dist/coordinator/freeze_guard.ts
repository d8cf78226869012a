/**
 * Where everything that happens to a coordinator comes through, one after the other. A process that was held up, by the
 * system or by somebody who froze it, can't tell who was silent, nor whether another coordinator has taken over: until the
 * lease says that it was not replaced, everything waits here.
 *
 * @module
 */

import type { Lease } from "../protocol/lease.ts";
import { replaced } from "./single_leader.ts";

/** Seconds without anything happening, not even a tick, after which the process was held up. */
const HELD_UP_SECONDS = 1;
/** Milliseconds between two questions about the lease, where the store does not answer. */
const LEASE_PAUSE = 500;

/** The gate of one coordinator. */
export class FreezeGuard {
  #enteredAt: number;
  #isClosed = false;
  /** What waits. */
  #held: (() => void)[] | undefined;

  /**
   * An open gate.
   *
   * @param fail gets what is thrown, and that another coordinator has taken over; nothing comes through afterwards
   * @param onHeldUp called after the process was held up
   * @param now seconds on a clock that does not go back
   */
  constructor(
    readonly run: string,
    readonly lease: Lease | undefined,
    readonly fail: (error: unknown) => void,
    readonly onHeldUp: () => void,
    readonly now: () => number,
  ) {
    this.#enteredAt = now();
  }

  /**
   * Lets something happen, at once or later.
   *
   * @param keep called first where it has to wait: what it needs may not last
   */
  enter(callback: () => void, keep: () => void = () => {}): void {
    if (this.#isClosed) return;
    const isHeldUp = this.now() - this.#enteredAt >= HELD_UP_SECONDS;
    this.#enteredAt = this.now();
    if (isHeldUp && !this.#held) {
      this.#held = [this.onHeldUp];
      this.#confirm().then(() => this.#release(), (error) => this.close(error));
    }
    if (!this.#held) return this.#try(callback);
    keep();
    this.#held.push(callback);
  }

  /** Lets nothing happen any more. */
  close(error?: unknown): void {
    this.#isClosed = true;
    if (error !== undefined) this.fail(error);
  }

  /** Waits until it is clear that this is still the coordinator. Without a lease there is nobody to ask. */
  async #confirm(): Promise<void> {
    while (this.lease && !this.#isClosed) {
      const isHeld = await this.lease.isHeld().catch(() => undefined); // the server is away, and will be back
      if (isHeld) return;
      if (isHeld === false) throw replaced(this.run);
      await new Promise((resolve) => setTimeout(resolve, LEASE_PAUSE));
    }
  }

  #release(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const callback of held) this.#try(callback);
  }

  /** An exception would be lost in a callback. */
  #try(callback: () => void): void {
    if (this.#isClosed) return;
    try {
      callback();
    } catch (error) {
      this.close(error);
    }
  }
}

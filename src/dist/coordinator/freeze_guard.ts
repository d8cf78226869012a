/**
 * All events of a coordinator pass through this guard, one after the other. A process that was paused (SIGSTOP, or an overloaded
 * machine) can't tell who was silent, nor whether another coordinator has taken over: until its lease is confirmed, all events wait
 * here (leases: Gray & Cheriton, 1989).
 *
 * @module
 */

import type { Lease } from "../protocol/lease.ts";
import { replaced } from "./single_leader.ts";

/** Seconds without any event, not even a tick, after which the process counts as paused. */
const PAUSED_SECONDS = 1;
/** Milliseconds between two requests for the lease, where its store does not answer. */
const LEASE_PAUSE = 500;

/** The guard of one coordinator. */
export class FreezeGuard {
  #enteredAt: number;
  #isClosed = false;
  /** Events that wait. */
  #waiting: (() => void)[] | undefined;

  /**
   * An open guard.
   *
   * @param fail gets what is thrown, and that another coordinator has taken over; no event passes afterwards
   * @param onPaused called after the process was paused
   * @param now seconds on a clock that does not go back
   */
  constructor(
    readonly run: string,
    readonly lease: Lease | undefined,
    readonly fail: (error: unknown) => void,
    readonly onPaused: () => void,
    readonly now: () => number,
  ) {
    this.#enteredAt = now();
  }

  /**
   * Handles an event, at once or later.
   *
   * @param keep called first where the event has to wait: saves data that does not last
   */
  enter(callback: () => void, keep: () => void = () => {}): void {
    if (this.#isClosed) return;
    const wasPaused = this.now() - this.#enteredAt >= PAUSED_SECONDS;
    this.#enteredAt = this.now();
    if (wasPaused && !this.#waiting) {
      this.#waiting = [this.onPaused];
      this.#confirm().then(() => this.#release(), (error) => this.close(error));
    }
    if (!this.#waiting) return this.#try(callback);
    keep();
    this.#waiting.push(callback);
  }

  /** Lets no event pass any more. */
  close(error?: unknown): void {
    this.#isClosed = true;
    if (error !== undefined) this.fail(error);
  }

  /** Waits until the lease is confirmed. Without a lease there is nothing to confirm. */
  async #confirm(): Promise<void> {
    while (this.lease && !this.#isClosed) {
      const isHeld = await this.lease.isHeld().catch(() => undefined); // the server is unreachable: asked again
      if (isHeld) return;
      if (isHeld === false) throw replaced(this.run);
      await new Promise((resolve) => setTimeout(resolve, LEASE_PAUSE));
    }
  }

  #release(): void {
    const held = this.#waiting ?? [];
    this.#waiting = undefined;
    for (const callback of held) this.#try(callback);
  }

  /** An exception in a callback would be lost. */
  #try(callback: () => void): void {
    if (this.#isClosed) return;
    try {
      callback();
    } catch (error) {
      this.close(error);
    }
  }
}

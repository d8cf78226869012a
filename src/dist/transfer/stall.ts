/**
 * How long a transfer may stall.
 *
 * @module
 */

import { now } from "../protocol/timeouts.ts";
import type { Transport } from "../protocol/transport.ts";

/** Detects a stalled transfer. Time without an own connection does not count. */
export class Stall {
  #movedAt = now();

  /** Starts as if a piece had just arrived. */
  constructor(readonly transport: Pick<Transport, "isConnected">, readonly longestSeconds: number) {}

  /** A piece has arrived. */
  end(): void {
    this.#movedAt = now();
  }

  /** Whether it has stalled for too long. */
  get isTooLong(): boolean {
    if (!this.transport.isConnected) this.end();
    return now() - this.#movedAt >= this.longestSeconds;
  }
}

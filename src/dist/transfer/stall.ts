/**
 * How long a transfer may stand still.
 *
 * @module
 */

import { now } from "../protocol/timeouts.ts";
import type { Transport } from "../protocol/transport.ts";

/** Watches whether a transfer moves. While its own connection is lost, no time goes by. */
export class Stall {
  #movedAt = now();

  /** It has just moved. */
  constructor(readonly transport: Pick<Transport, "isConnected">, readonly longestSeconds: number) {}

  /** It has moved. */
  end(): void {
    this.#movedAt = now();
  }

  /** Whether it has stood still for too long. */
  get isTooLong(): boolean {
    if (!this.transport.isConnected) this.end();
    return now() - this.#movedAt >= this.longestSeconds;
  }
}

/**
 * Whether, and when, a process that failed is restarted.
 *
 * @module
 */

import type { ChildFailure } from "./protocol.ts";

/** How often in a row a process that crashes is restarted, and after how many milliseconds the first time, doubled each time. */
const RESTARTS = 3;
const FIRST_PAUSE = 2500;
/** How often in a row after transient failures (server or coordinator away), each time after the first pause. */
const TRANSIENT_RESTARTS = 20;
/** Milliseconds of running after which earlier failures are forgotten. */
const STABLE_AFTER = 60_000;

/** The failures of one process in a row. */
export class Restarts {
  #crashes = 0;
  #transient = 0;

  /** Failures in a row, of the kind that the last one was. */
  get failures(): number {
    return this.#transient || this.#crashes;
  }

  /**
   * Counts a failure.
   *
   * @param cause why the process failed
   * @param lived milliseconds for which it had run
   * @returns after how many milliseconds it is restarted; undefined where it is not
   */
  after(cause: ChildFailure["cause"], lived: number): number | undefined {
    if (lived >= STABLE_AFTER) this.#crashes = this.#transient = 0;
    if (cause === "transient") return ++this.#transient <= TRANSIENT_RESTARTS ? FIRST_PAUSE : undefined;
    this.#transient = 0;
    if (cause === "permanent" || ++this.#crashes > RESTARTS) return undefined;
    return FIRST_PAUSE * 2 ** (this.#crashes - 1);
  }
}

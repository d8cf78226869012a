/**
 * Whether, and when, a process that failed is started again.
 *
 * @module
 */

import type { ChildFailure } from "./protocol.ts";

/** How often in a row a process that crashes is started again, and after how many milliseconds, doubled each time. */
const RESTARTS = 3;
const FIRST_PAUSE = 2500;
/** How often in a row one is that fails because somebody else is not there, each time after the first pause. */
const TRIES = 20;
/** One that has lived so many milliseconds counts as sound: its earlier failures are forgotten. */
const SOUND_AFTER = 60_000;

/** The failures of one process in a row. */
export class Restarts {
  #crashes = 0;
  #tries = 0;

  /** Failures in a row, of the kind that the last one was. */
  get failures(): number {
    return this.#tries || this.#crashes;
  }

  /**
   * Takes a failure.
   *
   * @param cause why the process failed
   * @param lived for how many milliseconds it had lived
   * @returns after how many milliseconds it is started again; undefined where it is not
   */
  after(cause: ChildFailure["cause"], lived: number): number | undefined {
    if (lived >= SOUND_AFTER) this.#crashes = this.#tries = 0;
    if (cause === "passing") return ++this.#tries <= TRIES ? FIRST_PAUSE : undefined;
    this.#tries = 0;
    if (cause === "verdict" || ++this.#crashes > RESTARTS) return undefined;
    return FIRST_PAUSE * 2 ** (this.#crashes - 1);
  }
}

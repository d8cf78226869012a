/**
 * The clock of whoever decides by time. Decisions themselves get the time handed in.
 *
 * @module
 */

/** Seconds on a clock that does not go back. */
export function now(): number {
  return performance.now() / 1000;
}

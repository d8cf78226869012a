/**
 * The end of work that is not wanted any more.
 *
 * @module
 */

/** Thrown to end what a worker is doing, because it is not wanted any more. No error. */
export class Halted extends Error {
  override name = "Halted";
}

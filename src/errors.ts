/**
 * The errors that a caller catches. Everything else is one of JavaScript's own: `TypeError` for the wrong kind of value,
 * `RangeError` for one out of range, `SyntaxError` for what can't be parsed.
 *
 * @module
 */

/** A configuration or command line that can't be used; `problems` holds all of them, each one line. Exit code 2. */
export class ConfigError extends Error {
  /** As in messages. */
  override readonly name = "ConfigError";
  /** What is wrong, one line each: where, what was expected, what was found. */
  readonly problems: readonly string[];

  /** Joins the problems to a message of one line each. */
  constructor(problems: readonly string[]) {
    super(problems.join("\n"));
    this.problems = problems;
  }
}

/** A run that could not continue, with the reason that its participants gave. Exit code 1. */
export class RunError extends Error {
  /** As in messages. */
  override readonly name = "RunError";
}

/** One that may pass: the server or the coordinator is away for the moment, or a place not free yet. Trying again can help. */
export class TransientError extends RunError {}

/** The message of what was thrown: an error's own, or the thing itself as text. */
export function errorMessage(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Thrown to end what a worker is doing, because it is not wanted any more. No error. */
export class Halted extends Error {
  override name = "Halted";
}

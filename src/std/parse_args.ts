/**
 * Stands in for `@std/cli/parse-args`, whose registry our build cannot reach: the same function over `minimist`,
 * the package that `@std/cli`'s was ported from. To use the real one, change one line of `deno.json`.
 *
 * @module
 */

import minimist from "minimist";

/** The part of `@std/cli`'s options that flashmob uses. */
export interface ParseOptions {
  /** Flags without a value. */
  boolean?: string[];
  /** Flags whose value stays text. */
  string?: string[];
  /** Other names of a flag. */
  alias?: Record<string, string>;
  /** Called for each argument that is not declared; `false` drops it. */
  unknown?: (argument: string, key?: string, value?: unknown) => unknown;
}

/** Parsed arguments: positional ones in `_`, flags by name. */
export type Args = { _: (string | number)[] } & Record<string, unknown>;

/** Parses command-line arguments, for example `parseArgs(["--steps", "3"], { string: ["steps"] }).steps === "3"`. */
export function parseArgs(args: string[], options: ParseOptions = {}): Args {
  return minimist(args, options);
}

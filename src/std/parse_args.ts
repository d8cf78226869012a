/**
 * Stands in for `@std/cli/parse-args`, whose registry our build cannot reach: the same function over `minimist`,
 * the package that `@std/cli`'s was ported from. To use the real one, change one line of `deno.json`.
 *
 * @module
 */

// @ts-types="npm:@types/minimist@1.2.5"
import minimist from "minimist";

/** The part of `@std/cli`'s options that flashmob uses. */
export interface ParseOptions {
  /** Flags without a value. */
  boolean?: string[];
  /** Flags whose value stays text. */
  string?: string[];
  /** Other names of a flag. */
  alias?: Record<string, string>;
  /** Called for each argument that is not declared, positional ones too; `false` drops it. */
  unknown?: (argument: string) => boolean;
}

/** Parsed arguments: flags by name, positional ones in `_`. */
export interface Args {
  /** Positional arguments. */
  _: (string | number)[];
  /** Text for a flag with a value, a boolean for one without, an array for one given twice. */
  [flag: string]: unknown;
}

/**
 * Parses command-line arguments. As in `@std/cli`, `--no-x` is a flag of that name; `minimist` alone takes it for x = false.
 *
 * @example
 * ```ts
 * import { parseArgs } from "./parse_args.ts";
 * console.assert(parseArgs(["--steps", "3"], { string: ["steps"] }).steps === "3");
 * ```
 */
export function parseArgs(args: string[], options: ParseOptions = {}): Args {
  const end = args.includes("--") ? args.indexOf("--") : args.length;
  const flags = args.slice(0, end).map((arg) => /^--no-[^=]+$/.test(arg) ? `${arg}=true` : arg);
  return minimist([...flags, ...args.slice(end)], options);
}

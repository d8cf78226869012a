/**
 * Parses command lines by the flags that a command documents. All problems are found at once, and nothing is ignored.
 *
 * @module
 */

import { parseArgs } from "@std/cli/parse-args";
import { nearestPath } from "../config/nearest.ts";
import { reasonRemoved } from "../config/removed.ts";
import { ConfigError } from "../errors.ts";
import type { CommandHelp, FlagHelp } from "./help.ts";
import { peerFlag, peerHint } from "./peers.ts";

/** Arguments by their flags. */
export interface ParsedArguments {
  /** For each flag without a value whether it was given. */
  switches: Record<string, boolean>;
  /** The text of each flag with a value. */
  values: Record<string, string | undefined>;
  /** The arguments without a flag, in order. */
  positional: string[];
}

/** A flag with the rule for its value. */
export interface Flag extends FlagHelp {
  /** Undefined where the value is text. */
  number?: { wanted: string; holds: (value: number) => boolean };
}

/** A command without a configuration. */
export interface Command extends CommandHelp {
  /** Its flags. */
  flags: Flag[];
  /** Names of the arguments without a flag, in order. */
  positional: string[];
  /** How many of them are needed; all by default. */
  least?: number;
}

/** Arguments of a {@linkcode Command}; flags that were not given are undefined. */
export interface CommandArguments extends Omit<ParsedArguments, "values"> {
  /** The texts. */
  texts: Record<string, string | undefined>;
  /** The numbers. */
  numbers: Record<string, number | undefined>;
}

/** Whole numbers within bounds, as the value of a flag. */
export function wholeFrom(low: number, high: number = Number.MAX_SAFE_INTEGER): NonNullable<Flag["number"]> {
  return {
    wanted: `a whole number ${
      high === Number.MAX_SAFE_INTEGER ? `of at least ${low}` : `from ${low} to ${high}`
    }`,
    holds: (value) => Number.isSafeInteger(value) && value >= low && value <= high,
  };
}

/** Replaces bytes of an argument that are not UTF-8. */
const REPLACEMENT = "\ufffd";
const NO_TEXT =
  "an argument holds bytes that are no UTF-8, which get lost on the way (or U+FFFD, which stands for them): " +
  "give another name to the file; give such a prompt on standard input";

/** The flag that every command has. */
export const HELP_FLAG: FlagHelp = { name: "help", text: "Show this." };

/**
 * Parses arguments: `--flag VALUE`, `--flag=VALUE`, `--switch`, `-h` for `--help`, and after `--` no flags. A value may
 * begin with a dash where it can't be a flag: a number, or a free text that is no flag of the command.
 *
 * @param problems to which problems are added, one line each
 */
export function parseArguments(
  args: string[],
  flags: readonly FlagHelp[],
  problems: string[],
): ParsedArguments {
  const known = flags.map(({ name }) => name);
  const valued = flags.filter(({ value }) => value);
  const switches = flags.filter(({ value }) => !value).map(({ name }) => name);
  const parsed = parseArgs(joined(args, flags, problems), {
    boolean: switches,
    string: ["_", ...valued.map(({ name }) => name.replaceAll(".", ":"))],
    alias: { help: "h" },
    unknown: (arg) => {
      if (!arg.startsWith("-") || arg === "-") return true; // "-" is standard output, where a file is wanted
      const flag = arg.replace(/=.*/s, "").replaceAll(":", ".");
      problems.push(`${flag}: ${reasonUnknown(flag.replace(/^-+/, ""), known)}`);
      return false;
    },
  });
  const values: ParsedArguments["values"] = {};
  for (const flag of valued) {
    const value = parsed[flag.name.replaceAll(".", ":")] as string | string[] | undefined;
    if (Array.isArray(value)) problems.push(`--${flag.name}: given ${value.length} times`);
    else if (value === "" && !flag.isFreeText) problems.push(missing(flag));
    else values[flag.name] = value;
  }
  return {
    switches: Object.fromEntries(switches.map((name) => [name, parsed[name] === true])),
    values,
    positional: parsed._.map(String),
  };
}

/** Why there is no such flag, and what to write instead. */
function reasonUnknown(name: string, known: readonly string[]): string {
  const removed = reasonRemoved(name);
  if (removed !== undefined) return removed;
  const peer = peerFlag(name, known);
  if (peer) return peerHint(peer);
  const nearest = nearestPath(name, known);
  return nearest === undefined ? "unknown" : `unknown; did you mean --${nearest}?`;
}

/**
 * Reads the arguments of a command.
 *
 * @param required flags that must be given
 * @throws {ConfigError} with all problems, unless help is requested
 *
 * @example
 * ```ts
 * import { readArguments } from "./arguments.ts";
 * const flags = [{ name: "prompt", value: "TEXT", text: "What to say.", isFreeText: true }];
 * const command = { usage: [["demo FILE [options]", "says it"]] as const, positional: ["FILE"], short: {}, flags };
 * console.assert(readArguments(["a.txt", "--prompt", "- item"], command).texts.prompt === "- item");
 * ```
 */
export function readArguments(
  args: string[],
  { flags, positional: wanted, least = wanted.length, usage }: Command,
  required: readonly string[] = [],
): CommandArguments {
  const problems: string[] = [];
  const { switches, values, positional } = parseArguments(args, flags, problems);
  const found: CommandArguments = { switches, texts: {}, numbers: {}, positional };
  for (const flag of flags) readValue(flag, values[flag.name], found, problems);
  if (positional.length < least || positional.length > wanted.length) {
    const given = positional.length === 0 ? "none" : positional.join(", ");
    problems.push(`expected ${wanted.join(" and ") || "flags only"}, found ${given}; usage: ${usage[0][0]}`);
  }
  for (const name of required) {
    if (values[name] === undefined && !switches[name]) problems.push(`--${name} is missing`);
  }
  if (problems.length > 0 && !switches.help) throw new ConfigError(problems);
  return found;
}

function readValue(
  { name, number }: Flag,
  given: string | undefined,
  found: CommandArguments,
  problems: string[],
): void {
  if (given === undefined) return;
  if (!number) return void (found.texts[name] = given);
  const value = given.trim() === "" ? NaN : Number(given);
  if (number.holds(value)) return void (found.numbers[name] = value);
  problems.push(`--${name}: expected ${number.wanted}, found ${JSON.stringify(given)}`);
}

/**
 * Joins each value with its flag in one argument, since the parser takes everything that begins with a dash for a flag. Dots in
 * flags become colons: the parser would nest them, and --data would collide with --data.source.
 */
function joined(args: readonly string[], flags: readonly FlagHelp[], problems: string[]): string[] {
  const byName = new Map(flags.map((flag) => [`--${flag.name}`, flag]));
  const known = flags.map(({ name }) => name);
  const isFlag = (arg: string) => arg === "-h" || byName.has(arg.replace(/=.*/s, ""));
  const isValue = (arg: string, { isFreeText, isSwitch }: FlagHelp) =>
    isSwitch ? /^(true|false)$/.test(arg) : isFreeText ? !isFlag(arg) : !/^--?[A-Za-z]/.test(arg);
  const whole: string[] = [];
  const rest = [...args];
  if (args.some((arg) => arg.includes(REPLACEMENT))) problems.push(NO_TEXT);
  while (rest.length > 0) {
    const arg = rest.shift()!;
    if (arg === "--") return [...whole, arg, ...rest];
    const flag = byName.get(arg);
    if (!flag && isPeerWithValue(arg, known) && rest[0]?.startsWith("-") === false) rest.shift();
    if (!flag?.value) whole.push(undotted(arg));
    else if (rest.length > 0 && isValue(rest[0], flag)) whole.push(undotted(`${arg}=${rest.shift()}`));
    else if (flag.isSwitch) whole.push(undotted(`${arg}=true`));
    else problems.push(missing(flag));
  }
  return whole;
}

/** Whether an unknown flag, of another trainer, is followed by its value: that is not to be taken for an argument. */
function isPeerWithValue(arg: string, known: readonly string[]): boolean {
  const peer = arg.startsWith("--") ? peerFlag(arg.slice(2), known) : undefined;
  return peer !== undefined && peer.value === undefined;
}

function undotted(arg: string): string {
  if (!arg.startsWith("--")) return arg;
  const [flag, ...value] = arg.split("=");
  return [flag.replaceAll(".", ":"), ...value].join("=");
}

const missing = ({ name }: FlagHelp) =>
  `--${name}: a value is missing; write --${name}=… for one that begins with a dash`;

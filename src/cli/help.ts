/**
 * The text that `--help` shows: usage, examples, a command's own flags, and the options of the configuration with their defaults,
 * made from the schema.
 *
 * @module
 */

import { nearestName } from "../config/nearest.ts";
import type { ConfigOption, ConfigSection } from "../config/options.ts";
import { ConfigError } from "../errors.ts";

/** A flag that is not an option of the configuration. */
export interface FlagHelp {
  /** Without the dashes. */
  name: string;
  /** Placeholder of its value; undefined for a switch. */
  value?: string;
  /** What it is for. */
  text: string;
  /** Whether the value is any text, which may begin with a dash. */
  isFreeText?: boolean;
  /** Whether its value is true or false, and true where it is omitted. */
  isSwitch?: boolean;
}

/** A command line, and what it does. */
export type UseHelp = readonly [line: string, does: string];

/** The help of a command. */
export interface CommandHelp {
  /** Its forms. */
  usage: readonly UseHelp[];
  /** Command lines that are useful as they stand. */
  examples?: readonly UseHelp[];
  /** Its own flags. */
  flags: readonly FlagHelp[];
  /** Flags that are short for an option: the option's dotted path by flag. */
  short: Record<string, string>;
  /** The most used of its flags and options, for a command that has too many to be read at once. */
  often?: readonly string[];
}

/** The options of the configuration, for a command that takes them as flags. */
export interface ConfigHelp {
  /** All of them. */
  options: readonly ConfigOption[];
  /** Their sections. */
  sections: readonly ConfigSection[];
}

/** A command line that asks for help. */
export interface HelpOrder {
  /** Tells it from other orders. */
  action: "help";
  /** The help: all of it, or the section that was asked for. */
  text: string;
  /** The same for a terminal: of a command with many options the most used. */
  brief: string;
}

/** Characters per line. */
const WIDTH = 80;
/** Column in which descriptions begin, at most. */
const MOST_INDENT = 34;

/** A flag or a command line, and its description. */
type Entry = readonly [term: string, text: string];

/**
 * The help of a command, all of it.
 *
 * @param config the options of the configuration, for a command that takes them too
 *
 * @example
 * ```ts
 * import { helpText } from "./help.ts";
 * const flags = [{ name: "help", text: "Show this." }];
 * console.assert(helpText({ usage: [["demo [options]", "a demonstration"]], flags, short: {} }).includes("--help"));
 * ```
 */
export function helpText(command: CommandHelp, config?: ConfigHelp): string {
  const short = Object.entries(command.short).map(([flag, path]): Entry => [
    `--${flag}`,
    `Short for --${path}.`,
  ]);
  const title = "Options that are keys of CONFIG.yaml, too, with their defaults (see configs/):";
  const sections = config?.sections.flatMap(({ name }) => [...sectionLines(name, config), ""]) ?? [];
  return text([
    ...useLines(command),
    "Options:",
    ...entries([...command.flags.map(ofFlag), ...short]),
    "",
    ...(config ? [title, ...sections] : []),
  ]);
}

/**
 * What a command line with `--help`, `--help SECTION` or `--help all` asks for.
 *
 * @throws {ConfigError} where the configuration has no such section
 */
export function helpOrder(args: readonly string[], command: CommandHelp, config?: ConfigHelp): HelpOrder {
  const whole = helpText(command, config);
  const section = config && sectionIn(args, config);
  if (section === "all") return { action: "help", text: whole, brief: whole };
  if (section === undefined) {
    return { action: "help", text: whole, brief: config ? briefText(command, config) : whole };
  }
  const { description } = config!.sections.find(({ name }) => name === section)!;
  const one = text([description, ...sectionLines(section, config!), ""]);
  return { action: "help", text: one, brief: one };
}

/** The name after `--help`. A file, as for a configuration, is none. */
function sectionIn(args: readonly string[], { sections }: ConfigHelp): string | undefined {
  const at = args.findIndex((arg) => arg === "-h" || arg === "--help" || arg.startsWith("--help="));
  const given = args[at].startsWith("--help=") ? args[at].slice("--help=".length) : args[at + 1];
  if (given === undefined || !/^[a-z]+$/i.test(given) || given === "true") return;
  const names = [...sections.map(({ name }) => name), "all"];
  const nearest = nearestName(given, names);
  if (names.includes(given)) return given;
  throw new ConfigError([
    `--help ${given}: there is no such section${nearest === undefined ? "" : `; did you mean ${nearest}?`} ` +
    `The sections are ${names.slice(0, -1).join(", ")}; --help all shows everything`,
  ]);
}

/** What fits a screen: how a command is used, its most used options, and where the others are found. */
function briefText(command: CommandHelp, { options, sections }: ConfigHelp): string {
  const often = (command.often ?? []).map((name): Entry => {
    const own = command.flags.find((flag) => flag.name === name);
    const option = options.find(({ path }) => path === (command.short[name] ?? name));
    return own ? ofFlag(own) : [flagWith(name, option!.default), firstSentence(option!.description)];
  });
  return text([
    ...useLines(command),
    "Most used options, with their defaults:",
    ...entries(often),
    "",
    "--help SECTION shows the options of a section, --help all everything:",
    ...entries(sections.map(({ name, description }) => [name, description])),
    "",
  ]);
}

function firstSentence(text: string): string {
  return /^.*?[.;](?= |$)/s.exec(text)?.[0].replace(/;$/, ".") ?? text;
}

function useLines({ usage, examples = [] }: CommandHelp): string[] {
  const lines = (title: string, uses: readonly UseHelp[]) =>
    uses.length === 0 ? [] : [title, ...entries(uses, WIDTH), ""];
  return [...lines("Usage:", usage), ...lines("Examples:", examples)];
}

function sectionLines(name: string, { options }: ConfigHelp): string[] {
  const own = options.filter(({ path }) => path.startsWith(`${name}.`));
  return entries(own.map(({ path, type, default: value, description }) => [
    flagWith(path, value),
    type === "text" ? description : `${description} Takes ${type}.`,
  ]));
}

function ofFlag({ name, value, text }: FlagHelp): Entry {
  return [flagWith(name, value), text];
}

function flagWith(name: string, value: unknown): string {
  return value === undefined ? `--${name}` : `--${name} ${value}`;
}

/**
 * Terms with their descriptions beside them, in one column.
 *
 * @param mostIndent where that column is at most; beside a longer term its description begins after two spaces
 */
function entries(all: readonly Entry[], mostIndent = MOST_INDENT): string[] {
  const indent = Math.min(mostIndent, 4 + Math.max(...all.map(([term]) => term.length)));
  return all.flatMap(([term, text]) => entry(term, text, indent));
}

/** A description that would begin in the right half stands in a line below its term. */
function entry(term: string, text: string, indent: number): string[] {
  const isBelow = indent > WIDTH / 2 + 6;
  const lines = isBelow ? [`  ${term}`] : [];
  const margin = " ".repeat(isBelow ? 6 : indent);
  let line = isBelow ? margin : `  ${term}  `.padEnd(indent);
  for (const word of text.split(" ")) {
    if (line.length + word.length > WIDTH) {
      lines.push(line.trimEnd());
      line = margin;
    }
    line += `${word} `;
  }
  return [...lines, line.trimEnd()];
}

function text(lines: readonly string[]): string {
  return lines.join("\n");
}

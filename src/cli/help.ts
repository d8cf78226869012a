/**
 * The text that `--help` shows: a command's own flags, then every option of the configuration with its default, made from
 * the schema.
 *
 * @module
 */

import type { ConfigOption } from "../config/options.ts";

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

/** The help of a command. */
export interface CommandHelp {
  /** Its usage, one line for each form. */
  usage: string[];
  /** Its own flags. */
  flags: FlagHelp[];
  /** Flags that are short for an option: the option's dotted path by flag. */
  short: Record<string, string>;
}

/** A command line that asks for help. */
export interface HelpOrder {
  /** Tells it from other orders. */
  action: "help";
  /** The help, all of it. */
  text: string;
}

/** Characters per line. */
const WIDTH = 100;

/**
 * The help of a command.
 *
 * @param options of the configuration that the command takes too; none for a command that has no configuration
 *
 * @example
 * ```ts
 * import { helpText } from "./help.ts";
 * const command = { usage: ["demo [options]"], flags: [{ name: "help", text: "Show this." }], short: {} };
 * console.assert(helpText(command, []).includes("--help"));
 * ```
 */
export function helpText(command: CommandHelp, options: readonly ConfigOption[] = []): string {
  const flags = command.flags.map(({ name, value, text }) =>
    entry(value ? `--${name} ${value}` : `--${name}`, text)
  );
  const short = Object.entries(command.short).map(([flag, path]) =>
    entry(`--${flag}`, `Short for --${path}.`)
  );
  const sections: string[] = [];
  let section = "";
  for (const option of options) {
    const own = option.path.split(".")[0];
    if (own !== section) sections.push("");
    section = own;
    sections.push(describe(option));
  }
  const title = "Options that are also keys of CONFIG.yaml, with their defaults (configs/ has examples):";
  return [
    "Usage:",
    ...command.usage.map((line) => `  ${line}`),
    "",
    "Options:",
    ...flags,
    ...short,
    ...(options.length === 0 ? [] : ["", title, ...sections.slice(1)]),
    "",
  ].join("\n");
}

function describe({ path, type, default: value, description }: ConfigOption): string {
  const flag = value === undefined ? `--${path}` : `--${path} ${value}`;
  return entry(flag, type === "text" ? description : `${description} Takes ${type}.`);
}

/** A flag, and from column 34 on its description, in lines of at most `WIDTH` characters. */
function entry(flag: string, text: string): string {
  const indent = 34;
  const lines: string[] = [];
  let line = `  ${flag}  `.padEnd(indent);
  for (const word of text.split(" ")) {
    if (line.length + word.length > WIDTH) {
      lines.push(line.trimEnd());
      line = " ".repeat(indent);
    }
    line += `${word} `;
  }
  return [...lines, line.trimEnd()].join("\n");
}

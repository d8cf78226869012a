/**
 * The arguments of commands that take the configuration's options as flags: every option under its own name, the most used
 * under a short one too.
 *
 * @module
 */

import { parse as parseYaml } from "@std/yaml";
import { configOptions, overrideProblems, type Overrides } from "../config/config.ts";
import type { ConfigOption } from "../config/options.ts";
import { parseArguments, type ParsedArguments } from "./arguments.ts";
import type { CommandHelp } from "./help.ts";

/** Short flags for options of the configuration. */
export const SHORT: Record<string, string> = {
  workers: "machine.workers",
  reducers: "machine.reducers",
  steps: "train.steps",
  data: "data.source",
  out: "machine.out",
  seed: "train.seed",
  backend: "machine.backend",
  run: "machine.run",
  "min-workers": "machine.minWorkers",
};

/** Arguments of a command that takes the configuration's options as flags. */
export interface ConfigArguments {
  /** The command's own flags that take a value. */
  flags: Record<string, string | undefined>;
  /** Options of the configuration that were given, by their paths. */
  overrides: Overrides;
  /** The file of the configuration. */
  configPath: string | undefined;
  /** `--json` */
  json: boolean;
  /** `--reducer` */
  reducer: boolean;
  /** `--from-start` */
  isFromStart: boolean;
  /** `--help` */
  help: boolean;
  /** What is wrong, one line each. */
  problems: string[];
}

/** Reads the arguments; what is wrong with them is added to `problems` of the result. */
export function readConfigArguments(args: string[], command: CommandHelp): ConfigArguments {
  const problems: string[] = [];
  const options = [
    ...Object.keys(command.short).map((name) => ({ name, value: "VALUE", text: "" })),
    ...configOptions.map(({ path: name, isSwitch }) => ({ name, value: "VALUE", text: "", isSwitch })),
  ];
  const { switches, values, positional } = parseArguments(args, [...command.flags, ...options], problems);
  const overrides = readOverrides(values, command, problems);
  const [configPath, ...more] = positional;
  if (more.length > 0) {
    problems.push(`expected one CONFIG.yaml at most, found ${positional.join(", ")}`);
  }
  const { json, reducer = false, "from-start": isFromStart, help } = switches;
  return { flags: values, overrides, configPath, json, reducer, isFromStart, help, problems };
}

/** The options of the configuration that were given, under their short names or their own. */
function readOverrides(
  values: ParsedArguments["values"],
  command: CommandHelp,
  problems: string[],
): Overrides {
  const overrides: Overrides = {};
  const read = (flag: string, { path, isText, isTexts }: ConfigOption) => {
    const text = values[flag];
    if (text === undefined) return;
    if (path in overrides) problems.push(`--${flag} with ${flagOf(path)}: they mean the same`);
    overrides[path] = isText ? text : isTexts && !text.startsWith("[") ? [text] : scalarOf(text);
  };
  for (const option of configOptions) {
    for (const [flag, path] of Object.entries(command.short)) if (path === option.path) read(flag, option);
    read(option.path, option);
  }
  problems.push(...overrideProblems(overrides));
  return overrides;
}

/** A number, a truth value or a list from its text in YAML; text that is not YAML stays as it is, and the schema says what was expected. */
function scalarOf(text: string): unknown {
  try {
    return parseYaml(text);
  } catch {
    return text;
  }
}

/** The shortest flag for an option. */
export function flagOf(path: string): string {
  const short = Object.keys(SHORT).find((flag) => SHORT[flag] === path);
  return `--${short ?? path}`;
}

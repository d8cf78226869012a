/**
 * What the arguments of `deno task train` and `deno task coordinator` mean: a pure function from arguments to an order.
 * Every option of the configuration is a flag of the same name; the most used have a short one.
 *
 * @module
 */

import { parse as parseYaml } from "@std/yaml";
import { configOptions, overrideProblems, type Overrides } from "../config/config.ts";
import type { ConfigOption } from "../config/options.ts";
import { ConfigError } from "../errors.ts";
import { HELP_FLAG, parseArguments, type ParsedArguments } from "./arguments.ts";
import { type CommandHelp, type FlagHelp, helpText } from "./help.ts";
import { parseNatsAddress } from "../dist/mod.ts";

/** What `deno task train` was told to do. */
export type TrainOrder =
  | HelpOrder
  /** Start a run. */
  | { action: "train"; configPath?: string; overrides: Overrides; json: boolean }
  /** Go on with the run in a folder, with its configuration. */
  | { action: "resume"; folder: string; fromStep?: number; overrides: Overrides; json: boolean }
  /** Run workers for a coordinator elsewhere; `overrides` concern this machine only. */
  | { action: "join"; url: string; overrides: Overrides; json: boolean };

/** What `deno task coordinator` was told to do. */
export type CoordinatorOrder =
  | HelpOrder
  /** Coordinate a run, on a NATS server of its own or on one that is there. */
  | {
    action: "coordinate";
    configPath?: string;
    overrides: Overrides;
    json: boolean;
    /** Where the server of its own listens. */
    listen?: { hostname: string; port: number };
    /** URL of a server that is there. */
    nats?: string;
    /** Resume the run in this folder. */
    resume?: string;
    /** From the checkpoint of this step, 0 for the beginning, whatever the run's record tells. */
    fromStep?: number;
  }
  /** Average a share of the vectors for a coordinator elsewhere; `overrides` concern this machine only. */
  | { action: "reduce"; url: string; overrides: Overrides };

/** Show a text. */
export interface HelpOrder {
  /** Tells it from other orders. */
  action: "help";
  /** Lists everything. */
  text: string;
}

/** A flag that is short for an option of the configuration. */
const SHORT: Record<string, string> = {
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

const JSON_FLAG: FlagHelp = { name: "json", text: "Print metrics as JSON lines." };

/** For who knows that a run's record tells of more than its folder holds. */
const INSISTING_FLAGS: FlagHelp[] = [
  {
    name: "from-step",
    value: "N",
    text:
      "With --resume: from the checkpoint of this step, though there are or were later ones, which are set aside.",
  },
  { name: "from-start", text: "With --resume: from step 1 again, likewise." },
];

const TRAIN: CommandHelp = {
  usage: [
    "deno task train [CONFIG.yaml] [options]         train on this machine",
    "deno task train --resume DIR [options]          resume a run",
    "deno task train --join URL --run NAME [options] run workers for a coordinator elsewhere",
  ],
  flags: [
    { name: "resume", value: "DIR", text: "Go on with the run in this folder, with its configuration." },
    ...INSISTING_FLAGS,
    { name: "join", value: "URL", text: "The coordinator's NATS server, as its first line says." },
    JSON_FLAG,
    HELP_FLAG,
  ],
  short: SHORT,
};

const COORDINATOR: CommandHelp = {
  usage: [
    "deno task coordinator [CONFIG.yaml] [options]   wait for workers that join, and coordinate them",
    "deno task coordinator --resume DIR [options]    resume a run after its coordinator has ended",
    "deno task coordinator --reducer --nats URL --run NAME   reduce for a coordinator elsewhere",
  ],
  flags: [
    {
      name: "resume",
      value: "DIR",
      text: "Go on with the run in this folder: with its workers that live, or from its newest checkpoint.",
    },
    ...INSISTING_FLAGS,
    {
      name: "listen",
      value: "HOST:PORT",
      text: "Where its NATS server listens. Default: loopback, a free port.",
    },
    {
      name: "nats",
      value: "URL",
      text: "Use this NATS server instead; tls:// and credentials are passed on.",
    },
    {
      name: "reducer",
      text: "Reduce for the run's coordinator; may join and leave while the run continues.",
    },
    JSON_FLAG,
    HELP_FLAG,
  ],
  short: Object.fromEntries(
    Object.entries(SHORT).filter(([flag]) => flag !== "workers" && flag !== "backend"),
  ),
};

/**
 * What `deno task train` is to do.
 *
 * @throws {ConfigError} with all that is wrong with the arguments by themselves; what is wrong together with a
 * configuration file comes from `resolveConfig`
 *
 * @example
 * ```ts
 * import { parseTrain } from "./command_line.ts";
 * const order = parseTrain(["tiny.yaml", "--workers", "2", "--optimizer.learningRate=3e-4"]);
 * console.assert(order.action === "train" && order.overrides["optimizer.learningRate"] === 3e-4);
 * ```
 */
export function parseTrain(args: string[]): TrainOrder {
  const parsed = readArguments(args, TRAIN);
  const { flags, overrides, configPath, json, help, problems } = parsed;
  if (help) return { action: "help", text: helpText(TRAIN, configOptions) };
  const { resume, join } = flags;
  const from = fromOf(parsed);
  const clash = (flag: string, other: string, reason: string) =>
    problems.push(`--${flag} with ${other}: ${reason}`);

  if (resume !== undefined) {
    problems.push(...resumeProblems(configPath, overrides));
    if (join !== undefined) clash("resume", "--join", "the coordinator decides whether its run is resumed");
  }
  if (join !== undefined) {
    const reason = "the run's configuration comes from the coordinator";
    problems.push(...addressProblems("--join", join));
    if (!("machine.run" in overrides)) problems.push("--join: --run is missing, the name of the run to join");
    if (configPath !== undefined) clash("join", configPath, reason);
    for (const path of Object.keys(overrides)) {
      if (!path.startsWith("machine.") && path !== "data.source") clash("join", flagOf(path), reason);
    }
  }
  if (problems.length > 0) throw new ConfigError(problems);
  if (resume !== undefined) return { action: "resume", folder: resume, ...from, overrides, json };
  if (join !== undefined) return { action: "join", url: join, overrides, json };
  return { action: "train", configPath, overrides, json };
}

/** What `deno task coordinator` is to do; throws as {@linkcode parseTrain}. */
export function parseCoordinator(args: string[]): CoordinatorOrder {
  const parsed = readArguments(args, COORDINATOR);
  const { flags, overrides, configPath, json, reducer, help, problems } = parsed;
  if (help) return { action: "help", text: helpText(COORDINATOR, configOptions) };
  const listen = flags.listen === undefined ? undefined : parseAddress(flags.listen);
  if (flags.listen !== undefined && !listen) {
    problems.push(`--listen: expected HOST:PORT, found ${JSON.stringify(flags.listen)}`);
  }
  if (flags.nats !== undefined) problems.push(...addressProblems("--nats", flags.nats));
  if (flags.listen !== undefined && flags.nats !== undefined) {
    problems.push("--listen with --nats: either a server of its own or one that is there");
  }
  const { nats, resume } = flags;
  const from = fromOf(parsed);
  if (resume !== undefined) problems.push(...resumeProblems(configPath, overrides));
  if (reducer) problems.push(...reducerProblems(flags, configPath, overrides));
  if (problems.length > 0) throw new ConfigError(problems);
  if (reducer) return { action: "reduce", url: nats!, overrides };
  return { action: "coordinate", configPath, overrides, json, listen, nats, resume, ...from };
}

/** The step that a run is to be resumed from, where one is named. */
function fromOf({ flags, isFromStart, problems }: Arguments): { fromStep?: number } {
  const { resume, "from-step": text } = flags;
  if (text === undefined && !isFromStart) return {};
  if (resume === undefined) problems.push("--from-step and --from-start: expected with --resume only");
  if (text === undefined) return { fromStep: 0 };
  if (isFromStart) problems.push("--from-step with --from-start: they contradict each other");
  if (!/^[1-9]\d{0,8}$/.test(text)) {
    problems.push(`--from-step: expected a step from 1 on, found ${JSON.stringify(text)}`);
  }
  return { fromStep: Number(text) };
}

/** What keeps the address of a NATS server from being read. */
function addressProblems(flag: string, address: string): string[] {
  try {
    parseNatsAddress(address);
    return [];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.map((problem) => `${flag}: ${problem}`);
  }
}

function resumeProblems(configPath: string | undefined, overrides: Overrides): string[] {
  const others = [
    ...(configPath === undefined ? [] : [configPath]),
    ...("machine.out" in overrides ? ["--out"] : []),
  ];
  const reason = "a run resumes in its folder, with its configuration; flags can change single values of it";
  return others.map((other) => `--resume with ${other}: ${reason}`);
}

function reducerProblems(
  { nats, listen, resume }: Arguments["flags"],
  configPath: string | undefined,
  overrides: Overrides,
): string[] {
  const others = [
    ...(configPath === undefined ? [] : [configPath]),
    ...(listen === undefined ? [] : ["--listen"]),
    ...(resume === undefined ? [] : ["--resume"]),
    ...Object.keys(overrides).filter((path) => !["machine.run", "machine.name"].includes(path)).map(flagOf),
  ];
  return [
    ...(nats === undefined ? ["--reducer: --nats is missing, the address of the run's NATS server"] : []),
    ...("machine.run" in overrides ? [] : ["--reducer: --run is missing, the name of the run to join"]),
    ...others.map((other) =>
      `--reducer with ${other}: the coordinator tells a reducer all that it has to know`
    ),
  ];
}

/** Arguments taken apart. */
interface Arguments {
  /** The command's own flags that take a value. */
  flags: Record<string, string | undefined>;
  overrides: Overrides;
  configPath: string | undefined;
  json: boolean;
  reducer: boolean;
  isFromStart: boolean;
  help: boolean;
  problems: string[];
}

function readArguments(args: string[], command: CommandHelp): Arguments {
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
  const read = (flag: string, { path, isText }: ConfigOption) => {
    const text = values[flag];
    if (text === undefined) return;
    if (path in overrides) problems.push(`--${flag} with ${flagOf(path)}: they mean the same`);
    overrides[path] = isText ? text : scalarOf(text);
  };
  for (const option of configOptions) {
    for (const [flag, path] of Object.entries(command.short)) if (path === option.path) read(flag, option);
    read(option.path, option);
  }
  problems.push(...overrideProblems(overrides));
  return overrides;
}

/** A number, a truth value or a list from its text in YAML; what is no YAML stays text, and the schema says what was expected. */
function scalarOf(text: string): unknown {
  try {
    return parseYaml(text);
  } catch {
    return text;
  }
}

/** The shortest flag for an option. */
function flagOf(path: string): string {
  const short = Object.keys(SHORT).find((flag) => SHORT[flag] === path);
  return `--${short ?? path}`;
}

/** "127.0.0.1:4222", "[::1]:4222" or "localhost:0" in its two parts. */
function parseAddress(text: string): { hostname: string; port: number } | undefined {
  const [, bracketed, plain, digits] = /^(?:\[([^\]\s]+)\]|([^:\s]+)):(\d{1,5})$/.exec(text) ?? [];
  const hostname = bracketed ?? plain, port = Number(digits);
  return hostname !== undefined && port <= 65535 ? { hostname, port } : undefined;
}

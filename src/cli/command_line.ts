/**
 * The command lines of `deno task train` and `deno task coordinator`: a pure function from arguments to an order.
 * Every option of the configuration is a flag of the same name; the most used have a short one.
 *
 * @module
 */

import { configOptions, configSections, type Overrides } from "../config/config.ts";
import { ConfigError } from "../errors.ts";
import { HELP_FLAG } from "./arguments.ts";
import { type ConfigArguments, flagOf, readConfigArguments, SHORT } from "./config_arguments.ts";
import { type CommandHelp, type FlagHelp, type HelpOrder, helpOrder } from "./help.ts";
import { parseNatsAddress } from "../dist/mod.ts";

/** An order to `deno task train`. */
export type TrainOrder =
  | HelpOrder
  /** Start a run. */
  | { action: "train"; configPath?: string; overrides: Overrides; json: boolean; dashboard?: boolean }
  /** Resume the run in a folder, with its configuration. */
  | {
    action: "resume";
    folder: string;
    fromStep?: number;
    overrides: Overrides;
    json: boolean;
    dashboard?: boolean;
  }
  /** Run workers for a coordinator elsewhere; `overrides` concern this machine only. */
  | { action: "join"; url: string; overrides: Overrides; json: boolean };

/** An order to `deno task coordinator`. */
export type CoordinatorOrder =
  | HelpOrder
  /** Coordinate a run, on a NATS server of its own or on an existing one. */
  | {
    action: "coordinate";
    configPath?: string;
    overrides: Overrides;
    json: boolean;
    /** Address of its own server. */
    listen?: { hostname: string; port: number };
    /** URL of an existing server. */
    nats?: string;
    /** Resume the run in this folder. */
    resume?: string;
    /** Whether the run is served as a page; undefined: where a person watches. */
    dashboard?: boolean;
    /** Resume from the checkpoint of this step, 0 for the beginning, even if the run's record has later ones. */
    fromStep?: number;
  }
  /** Average a share of the vectors for a coordinator elsewhere; `overrides` concern this machine only. */
  | { action: "reduce"; url: string; overrides: Overrides };

const JSON_FLAG: FlagHelp = { name: "json", text: "Print metrics as JSON lines." };

const DASHBOARD_FLAG: FlagHelp = {
  name: "dashboard",
  value: "true|false",
  text: "Serve a page with the run on this machine. Default: on a terminal, without --json.",
  isSwitch: true,
};

/** Resuming from an earlier step than the run's record has. */
const INSISTING_FLAGS: FlagHelp[] = [
  {
    name: "from-step",
    value: "N",
    text:
      "With --resume: from the checkpoint of this step, though there are or were later ones, which are set aside.",
  },
  { name: "from-start", text: "With --resume: from step 1 again, likewise." },
];

const CONFIG = { options: configOptions, sections: configSections };

const TRAIN: CommandHelp = {
  usage: [
    ["deno task train [CONFIG.yaml] [options]", "train on this machine"],
    ["deno task train --resume DIR [options]", "resume a run"],
    ["deno task train --join URL --run NAME [options]", "run workers for a coordinator elsewhere"],
  ],
  examples: [
    ["deno task train", "the default: a small model of speeches, four workers"],
    ["deno task train --data book.txt --out runs/book", "a text of your own"],
    ["deno task train configs/enwik8.yaml --workers 2", "FLASH-pytorch's example"],
    ["deno task train --resume runs/book --steps 2000", "longer"],
  ],
  often: [
    ...["data", "steps", "workers", "out", "resume", "optimizer.learningRate", "train.batch", "data.seqLen"],
    ...["model.dim", "model.depth", "seed", "machine.device", "json"],
  ],
  flags: [
    { name: "resume", value: "DIR", text: "Resume the run in this folder, with its configuration." },
    ...INSISTING_FLAGS,
    { name: "join", value: "URL", text: "The coordinator's NATS server, as its first line says." },
    JSON_FLAG,
    DASHBOARD_FLAG,
    HELP_FLAG,
  ],
  short: SHORT,
};

const COORDINATOR: CommandHelp = {
  usage: [
    ["deno task coordinator [CONFIG.yaml] [options]", "wait for workers that join, and coordinate them"],
    ["deno task coordinator --resume DIR [options]", "resume a run after its coordinator has ended"],
    [
      "deno task coordinator --reducer --nats URL --run NAME",
      "reduce for a coordinator elsewhere",
    ],
  ],
  examples: [
    [
      "deno task coordinator --listen 0.0.0.0:4222 --min-workers 8",
      "waits for 8 workers, and says how they join",
    ],
    ["deno task coordinator --resume runs/demo", "after a crash; the workers wait for it"],
  ],
  often: [
    ...[
      "listen",
      "nats",
      "run",
      "min-workers",
      "data",
      "steps",
      "out",
      "resume",
      "reducers",
      "reducer",
      "json",
    ],
  ],
  flags: [
    {
      name: "resume",
      value: "DIR",
      text: "Resume the run in this folder: with its running workers, or from its newest checkpoint.",
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
    DASHBOARD_FLAG,
    HELP_FLAG,
  ],
  short: Object.fromEntries(
    Object.entries(SHORT).filter(([flag]) => flag !== "workers" && flag !== "backend"),
  ),
};

/**
 * Parses the arguments of `deno task train`.
 *
 * @throws {ConfigError} with all problems of the arguments themselves; problems with the values of the configuration come from
 * `resolveConfig`
 *
 * @example
 * ```ts
 * import { parseTrain } from "./command_line.ts";
 * const order = parseTrain(["tiny.yaml", "--workers", "2", "--optimizer.learningRate=3e-4"]);
 * console.assert(order.action === "train" && order.overrides["optimizer.learningRate"] === 3e-4);
 * ```
 */
export function parseTrain(args: string[]): TrainOrder {
  const parsed = readConfigArguments(args, TRAIN);
  const { flags, overrides, configPath, json, help, problems } = parsed;
  if (help) return helpOrder(args, TRAIN, CONFIG);
  const { resume, join } = flags;
  const from = fromOf(parsed), page = dashboardOf(parsed);
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
    if (page.dashboard) clash("join", "--dashboard", "the run's folder is on the coordinator's machine");
    for (const path of Object.keys(overrides)) {
      if (!path.startsWith("machine.") && path !== "data.source") clash("join", flagOf(path), reason);
    }
  }
  if (problems.length > 0) throw new ConfigError(problems);
  if (resume !== undefined) return { action: "resume", folder: resume, ...from, overrides, json, ...page };
  if (join !== undefined) return { action: "join", url: join, overrides, json };
  return { action: "train", configPath, overrides, json, ...page };
}

/** Parses the arguments of `deno task coordinator`; throws as {@linkcode parseTrain}. */
export function parseCoordinator(args: string[]): CoordinatorOrder {
  const parsed = readConfigArguments(args, COORDINATOR);
  const { flags, overrides, configPath, json, reducer, help, problems } = parsed;
  if (help) return helpOrder(args, COORDINATOR, CONFIG);
  const listen = flags.listen === undefined ? undefined : parseAddress(flags.listen);
  if (flags.listen !== undefined && !listen) {
    problems.push(`--listen: expected HOST:PORT, found ${JSON.stringify(flags.listen)}`);
  }
  if (flags.nats !== undefined) problems.push(...addressProblems("--nats", flags.nats));
  if (flags.listen !== undefined && flags.nats !== undefined) {
    problems.push("--listen with --nats: either a server of its own or one that is there");
  }
  const { nats, resume } = flags;
  const from = fromOf(parsed), page = dashboardOf(parsed);
  if (reducer && page.dashboard) problems.push("--reducer with --dashboard: the run's folder is elsewhere");
  if (resume !== undefined) problems.push(...resumeProblems(configPath, overrides));
  if (reducer) problems.push(...reducerProblems(flags, configPath, overrides));
  if (problems.length > 0) throw new ConfigError(problems);
  if (reducer) return { action: "reduce", url: nats!, overrides };
  return { action: "coordinate", configPath, overrides, json, listen, nats, resume, ...from, ...page };
}

/** Whether the run is served as a page, where that is said. */
function dashboardOf({ flags: { dashboard: text }, problems }: ConfigArguments): { dashboard?: boolean } {
  if (text === undefined) return {};
  if (text !== "true" && text !== "false") {
    problems.push(`--dashboard: expected true or false, found ${JSON.stringify(text)}`);
  }
  return { dashboard: text === "true" };
}

/** The step to resume from, where one is given. */
function fromOf({ flags, isFromStart, problems }: ConfigArguments): { fromStep?: number } {
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

/** Problems with the address of a NATS server. */
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
  { nats, listen, resume }: ConfigArguments["flags"],
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

/** "127.0.0.1:4222", "[::1]:4222" or "localhost:0" in its two parts. */
function parseAddress(text: string): { hostname: string; port: number } | undefined {
  const [, bracketed, plain, digits] = /^(?:\[([^\]\s]+)\]|([^:\s]+)):(\d{1,5})$/.exec(text) ?? [];
  const hostname = bracketed ?? plain, port = Number(digits);
  return hostname !== undefined && port <= 65535 ? { hostname, port } : undefined;
}

/**
 * The command lines for looking at runs: `deno task dashboard`, `runs` and `profile`.
 *
 * @module
 */

import { type Command, HELP_FLAG, readArguments, wholeFrom } from "./arguments.ts";
import { type HelpOrder, helpOrder } from "./help.ts";

/** Where runs are when no folder is named. */
const USUAL_FOLDER = "runs";

/** An order to `deno task dashboard`. */
export type DashboardOrder = HelpOrder | {
  action: "dashboard";
  /** A folder of runs, or a run's. */
  folder: string;
  hostname: string;
  /** Undefined: the usual one, or where that is taken a free one. */
  port?: number;
};

/** An order to `deno task runs`. */
export type RunsOrder =
  | HelpOrder
  | { action: "list"; folder: string; sort: "started" | "loss" }
  /** Two runs' folders. */
  | { action: "compare"; a: string; b: string };

/** An order to `deno task profile`. */
export type ProfileOrder = HelpOrder | { action: "profile"; folder: string };

const DASHBOARD: Command = {
  usage: [["deno task dashboard [FOLDER] [options]", "a page that shows the runs in a folder, live"]],
  positional: ["FOLDER"],
  least: 0,
  short: {},
  flags: [
    {
      name: "port",
      value: "N",
      text: "Where it listens. Default: 8600, or a free one.",
      number: wholeFrom(0, 65535),
    },
    {
      name: "host",
      value: "HOST",
      text:
        "Default: 127.0.0.1, for this machine only. Elsewhere the address has a key, which travels unencrypted.",
    },
    HELP_FLAG,
  ],
};

/** Parses the arguments of `deno task dashboard`; throws a ConfigError with all problems. */
export function parseDashboard(args: string[]): DashboardOrder {
  const { switches, texts, numbers, positional: [folder = USUAL_FOLDER] } = readArguments(args, DASHBOARD);
  if (switches.help) return helpOrder(args, DASHBOARD);
  return { action: "dashboard", folder, hostname: texts.host ?? "127.0.0.1", port: numbers.port };
}

const RUNS: Command = {
  usage: [
    ["deno task runs [FOLDER] [--by-loss]", "a table of the runs in a folder"],
    ["deno task runs compare RUN RUN", "what two runs differ in"],
  ],
  positional: ["FOLDER"],
  least: 0,
  short: {},
  flags: [
    { name: "by-loss", text: "The lowest validation loss first; otherwise the newest run." },
    HELP_FLAG,
  ],
};

const COMPARE: Command = { ...RUNS, positional: ["RUN", "RUN"], least: 2, flags: [HELP_FLAG] };

/** Parses the arguments of `deno task runs`; throws a ConfigError with all problems. */
export function parseRuns(args: string[]): RunsOrder {
  if (args[0] === "compare") {
    const { switches, positional: [a, b] } = readArguments(args.slice(1), COMPARE);
    return switches.help ? helpOrder(args, RUNS) : { action: "compare", a, b };
  }
  const { switches, positional: [folder = USUAL_FOLDER] } = readArguments(args, RUNS);
  if (switches.help) return helpOrder(args, RUNS);
  return { action: "list", folder, sort: switches["by-loss"] ? "loss" : "started" };
}

const PROFILE: Command = {
  usage: [["deno task profile RUN", "where the time of a run's steps went, by member"]],
  positional: ["RUN"],
  short: {},
  flags: [HELP_FLAG],
};

/** Parses the arguments of `deno task profile`; throws a ConfigError with all problems. */
export function parseProfile(args: string[]): ProfileOrder {
  const { switches, positional: [folder] } = readArguments(args, PROFILE);
  if (switches.help) return helpOrder(args, PROFILE);
  return { action: "profile", folder };
}

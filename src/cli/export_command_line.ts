/**
 * The command line of `deno task export-run`.
 *
 * @module
 */

import { type Command, HELP_FLAG, readArguments } from "./arguments.ts";
import { type HelpOrder, helpOrder } from "./help.ts";

/** An order to `deno task export-run`. */
export type ExportOrder =
  | HelpOrder
  | {
    action: "csv";
    /** The run's folder. */
    folder: string;
    /** The file to write; undefined: standard output. */
    out?: string;
  };

const EXPORT: Command = {
  usage: [
    ["deno task export-run RUN --csv [FILE]", "the metrics of a run as CSV, on standard output or into FILE"],
  ],
  positional: ["RUN", "FILE"],
  least: 1,
  short: {},
  flags: [
    {
      name: "csv",
      text:
        "A row for each step, with its evaluation where there was one. FILE must not exist; - is standard output.",
    },
    HELP_FLAG,
  ],
};

/**
 * Parses the arguments of `deno task export-run`.
 *
 * @throws {ConfigError} with all problems
 *
 * @example
 * ```ts
 * import { parseExport } from "./export_command_line.ts";
 * const order = parseExport(["runs/demo", "--csv"]);
 * console.assert(order.action === "csv" && order.folder === "runs/demo" && order.out === undefined);
 * ```
 */
export function parseExport(args: string[]): ExportOrder {
  const { switches, positional: [folder, out] } = readArguments(args, EXPORT, ["csv"]);
  if (switches.help) return helpOrder(args, EXPORT);
  return { action: "csv", folder, out: out === "-" ? undefined : out };
}

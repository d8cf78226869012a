/**
 * The curves of a run as CSV, for spreadsheets and pandas.
 *
 * @module
 */

import { ConfigError, errorMessage, RunError } from "../errors.ts";
import { RunFolder } from "../run/folder/run_folder.ts";

/** The columns after the step, by their names in `metrics.jsonl`. */
const COLUMNS = [
  ...["at", "loss", "valLoss", "gradNorm", "lr", "applied", "tokens", "tokensPerSecond", "elapsed"],
  ...["bytesSent", "bytesReceived", "workers", "generation"],
] as const;

type Row = Partial<Record<typeof COLUMNS[number], unknown>>;

/**
 * What a run's `metrics.jsonl` says as CSV (RFC 4180, with "\n"): a head, then a row for each step with its evaluation, where
 * there was one; `at` is when the step was committed. Numbers that are not finite are NaN, Infinity and -Infinity; what is not known is left empty.
 *
 * @param path the run's folder
 * @throws {ConfigError} where there is no run in it
 */
export async function metricsCsv(path: string): Promise<string> {
  const folder = RunFolder.at(path);
  if (!await folder.exists()) throw new ConfigError([`${path}: there is no run in it to export`]);
  const rows = new Map<number, Row>();
  for (const { step, ...metrics } of folder.metrics()) rows.set(step, { ...metrics, ...rows.get(step) });
  const lines = [...rows].sort(([a], [b]) => a - b)
    .map(([step, row]) => [step, ...COLUMNS.map((name) => row[name] ?? "")].join(","));
  return [["step", ...COLUMNS].join(","), ...lines].map((line) => line + "\n").join("");
}

/**
 * Writes {@linkcode metricsCsv} to a file: whole, or not at all.
 *
 * @param out must not exist
 * @throws {ConfigError} where there is no run, or `out` exists
 * @throws {RunError} where it can't be written
 */
export async function exportCsv(path: string, out: string): Promise<void> {
  const csv = await metricsCsv(path);
  try {
    await Deno.writeTextFile(out, csv, { createNew: true });
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists) {
      throw new ConfigError([`${out}: is there already; name another file`]);
    }
    await Deno.remove(out).catch(() => {});
    throw new RunError(`The metrics of ${path} can't be written to ${out}: ${errorMessage(error)}`);
  }
}

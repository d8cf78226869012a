/**
 * How a run starts in its folder: a new one makes it, one that is resumed continues what is there.
 *
 * @module
 */

import { findCheckpoint } from "../../checkpoint/find.ts";
import { type Config, stringifyConfig, withNewIdentity, withScheduleLength } from "../../config/config.ts";
import type { Corpus } from "../../data/corpus.ts";
import { DATA_BEGINS } from "../../data/microbatch.ts";
import { ConfigError } from "../../errors.ts";
import type { RunListener } from "./log.ts";
import { openRun, type StartPoint } from "./resume.ts";
import { RunFolder } from "./run_folder.ts";
import type { Summary } from "./summary.ts";

/**
 * Makes the folder of a new run, `machine.out`.
 *
 * @throws {ConfigError} where it holds a run already, or can't be made
 */
export async function beginRun(config: Config): Promise<StartPoint> {
  const identified = withNewIdentity(withScheduleLength(config));
  await RunFolder.create(config.machine.out, stringifyConfig(identified));
  return { config: identified, step: 0, origin: DATA_BEGINS };
}

/**
 * How the run in `machine.out` has ended, where nothing is left of it to do: its last step is done and saved. Nothing is read for
 * this but the summary, so that a person who resumes such a run learns it at once.
 */
export async function finishedRun(
  { train: { steps }, machine: { out } }: Config,
): Promise<Summary | undefined> {
  const folder = RunFolder.at(out);
  const summary = folder.readSummary();
  if (!summary || summary.interrupted || summary.steps < steps) return;
  return await findCheckpoint(folder.checkpoints, summary.steps) === undefined ? undefined : summary;
}

/** Tells that a run which is resumed was done before. */
export function tellFinished(summary: Summary, listener: RunListener): Summary {
  listener({ kind: "status", text: `the run is done already: step ${summary.steps} was its last` });
  listener({ kind: "finished", summary });
  return summary;
}

/**
 * Opens the folder of a run, `machine.out`, and moves what is on record after the step that it continues from out of the way.
 *
 * @param fromStep the step to resume from whatever is missing, 0 for the beginning; by default that of the newest checkpoint
 * @throws {ConfigError} as {@linkcode openRun}, and where the record tells of a later checkpoint that is not in the folder
 */
export async function resumeRun(
  config: Config,
  corpus: Pick<Corpus, "bytes" | "sha256">,
  say: (text: string) => void,
  fromStep?: number,
): Promise<StartPoint> {
  const point = await openRun(config, corpus, say, fromStep);
  if (point.missing !== undefined) throw new ConfigError([point.missing]);
  RunFolder.at(config.machine.out).resumeFrom(point.step);
  return point;
}

/**
 * How a run goes on in its folder: from its newest whole checkpoint, or from the beginning where it had none yet.
 *
 * @module
 */

import { checkpointSteps, newestCheckpoint } from "./checkpoint.ts";
import { ConfigError } from "./errors.ts";
import { RunFolder } from "./run_folder.ts";

/**
 * Opens the folder of a run that goes on.
 *
 * @param out the folder
 * @param say gets lines for people
 * @returns the step to go on after; 0 for a run that ended before its first checkpoint
 * @throws {ConfigError} where there is no run, or none of its checkpoints is whole: beginning again would replace them
 */
export async function openRun(out: string, say: (text: string) => void): Promise<number> {
  const folder = RunFolder.at(out);
  if (!await folder.exists()) throw new ConfigError([`--resume ${out}: there is no run in it to go on with`]);
  const newest = await newestCheckpoint(folder.checkpoints, say);
  if (newest === undefined) {
    const damaged = await checkpointSteps(folder.checkpoints);
    if (damaged.length > 0) {
      throw new ConfigError([
        `--resume ${out}: none of its checkpoints is whole (steps ${damaged.join(", ")}); ` +
        "to begin again, start a new run with --out",
      ]);
    }
    say("the run has no checkpoint yet and begins with step 1");
  }
  folder.discardAfter(newest ?? 0);
  return newest ?? 0;
}

/**
 * Finds the checkpoints in a folder, and which of them are usable. The step is that in `state.json`, not in the folder's name.
 *
 * @module
 */

import { checkFiles, readStateFile, type StateFile } from "./files.ts";
import { checkpointSteps, placeOf } from "./folder.ts";
import { errorMessage, RunError } from "../errors.ts";

/**
 * The step of the newest undamaged checkpoint in a folder, by its `state.json`.
 *
 * @param say called for each checkpoint that is skipped, or is of another step than its name says
 * @param run identity of the run whose checkpoints count; all do where it is not given
 * @returns undefined when there is none
 * @throws {RunError} at one of another format: a run resumed from an older one would eventually replace it
 */
export async function newestCheckpoint(
  folder: string,
  say: (text: string) => void,
  run?: string,
): Promise<number | undefined> {
  for (const { path, named, about } of await namedCheckpoints(folder)) {
    try {
      const { step, run: its } = about instanceof Error ? throwing(about) : about;
      if (run !== undefined && its !== undefined && its !== run) {
        say(`passed over ${path}: it belongs to another run, ${its}`);
        continue;
      }
      await checkFiles(path, about as StateFile);
      if (step !== named) say(`${path} holds the state of step ${step}, whatever its name says`);
      return step;
    } catch (error) {
      if (error instanceof RunError) throw error;
      say(`passed over a damaged checkpoint: ${errorMessage(error)}`);
    }
  }
}

/**
 * The folder of the checkpoint of a step: the one named after it, or another one whose `state.json` has this step.
 *
 * @returns undefined where there is none
 */
export async function findCheckpoint(folder: string, step: number): Promise<string | undefined> {
  const all = await namedCheckpoints(folder);
  return all.find(({ about }) => !(about instanceof Error) && about.step === step)?.path;
}

/** A folder with a checkpoint's name: the step in its name, and its `state.json` or why that can't be read. */
export interface NamedCheckpoint {
  path: string;
  named: number;
  about: StateFile | Error;
}

/** All folders with a checkpoint's name, newest first by their `state.json`; of two of one step, the one named after it first. */
export async function namedCheckpoints(folder: string): Promise<NamedCheckpoint[]> {
  const all = await Promise.all((await checkpointSteps(folder)).map(async (named) => {
    const path = placeOf(folder, named);
    return { path, named, about: await readStateFile(path).catch((error: Error) => error) };
  }));
  const stepOf = ({ named, about }: NamedCheckpoint) => about instanceof Error ? named : about.step;
  const isMisnamed = (one: NamedCheckpoint) => Number(stepOf(one) !== one.named);
  return all.sort((a, b) => stepOf(b) - stepOf(a) || isMisnamed(a) - isMisnamed(b));
}

function throwing(error: Error): never {
  throw error;
}

/**
 * Which checkpoints there are in a folder, and which of them can be used. What `state.json` says counts, not the name of the
 * folder that it is in.
 *
 * @module
 */

import { checkFiles, readStateFile, type StateFile } from "./files.ts";
import { checkpointSteps, placeOf } from "./folder.ts";
import { errorMessage, RunError } from "../errors.ts";

/**
 * The step of the newest checkpoint in a folder that is whole. What `state.json` says counts, not the folder's name.
 *
 * @param say told of each one that was passed over, or is of another step than its name says
 * @param run identity of the run whose checkpoints count; all do where it is not given
 * @returns undefined when there is none
 * @throws {RunError} at one of another format: going on from an older one would in time replace it
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
 * Where the checkpoint of a step is: in the folder named after it, or one with another name that says that it is of this step.
 *
 * @returns undefined where there is none
 */
export async function findCheckpoint(folder: string, step: number): Promise<string | undefined> {
  const all = await namedCheckpoints(folder);
  return all.find(({ about }) => !(about instanceof Error) && about.step === step)?.path;
}

/** A folder that is named as a checkpoint, the step in its name, and what it says of itself, or why it can't be read. */
export interface NamedCheckpoint {
  path: string;
  named: number;
  about: StateFile | Error;
}

/** All that are named as checkpoints, the newest by what they say first, and of two of one step the one named after it. */
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

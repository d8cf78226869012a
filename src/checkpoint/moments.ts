/**
 * The moments of one member, where each has its own: a file beside the checkpoints, `moments/NAME-step-00000100.safetensors`, in
 * the folder of the member's machine. The checkpoint itself holds those of the member that wrote it, for members without
 * a file of their own.
 *
 * @module
 */

import { checkpointSteps } from "./folder.ts";
import { VectorFiles } from "./vector_files.ts";
import { errorMessage, RunError } from "../errors.ts";
import type { ReplicaState } from "../dist/mod.ts";

/** What is only one member's in a state. */
type Own = NonNullable<ReplicaState["own"]>;

/**
 * Writes a member's moments, all or nothing, then deletes its older ones whose checkpoint is gone.
 *
 * @param folder of the checkpoints
 * @param stateHash of the state that they belong to
 * @param keepLast how many of them are kept even where there are no checkpoints
 * @returns the file
 * @throws {RunError} where they can't be written
 */
export async function saveMoments(
  folder: string,
  member: string,
  step: number,
  { updates, vectors }: Own,
  stateHash: string,
  keepLast: number,
): Promise<string> {
  const files = filesOf(folder, member);
  const place = files.pathOf(step);
  try {
    await files.save(step, { vectors, metadata: { updates: String(updates), stateHash } });
    const checkpoints = await checkpointSteps(folder);
    const old = (await files.steps()).slice(keepLast).filter((step) => !checkpoints.includes(step));
    for (const step of old) await files.remove(step);
    return place;
  } catch (error) {
    throw new RunError(`${place} can't be written: ${errorMessage(error)}`);
  }
}

/**
 * A member's moments after a step.
 *
 * @param stateHash of the state that they have to belong to
 * @returns undefined where there are none, or those of another state
 * @throws {SyntaxError} where the file is damaged
 */
export async function loadMoments(
  folder: string,
  member: string,
  step: number,
  stateHash: string,
): Promise<Own | undefined> {
  const saved = await filesOf(folder, member).load(step);
  if (saved?.metadata.stateHash !== stateHash) return undefined;
  return { updates: Number(saved.metadata.updates), vectors: saved.vectors };
}

function filesOf(folder: string, member: string): VectorFiles {
  return new VectorFiles(`${folder}/moments`, `${member}-step-`);
}

/**
 * The moments of one member, where each has its own: a file beside the checkpoints, `moments/NAME-step-00000100.safetensors`, in
 * the folder of the member's machine. The checkpoint itself holds those of the member that wrote it, for whoever finds no
 * file of its own.
 *
 * @module
 */

import { checkpointSteps, remove, sync } from "./folder.ts";
import type { ReplicaState } from "../dist/replica.ts";
import { RunError, wordsOf } from "../errors.ts";
import { type FlatTensor, parseSafetensors, writeSafetensors } from "../safetensors.ts";

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
  const place = placeOf(folder, member, step);
  try {
    await Deno.mkdir(`${folder}/moments`, { recursive: true });
    const tensors = Object.fromEntries(
      Object.entries(vectors).map(([name, values]): [string, FlatTensor] => [
        name,
        { dtype: "F32", shape: [values.length], values },
      ]),
    );
    await writeSafetensors(`${place}.tmp`, tensors, { updates: String(updates), stateHash });
    await Deno.rename(`${place}.tmp`, place);
    await sync(`${folder}/moments`);
    await prune(folder, member, keepLast);
    return place;
  } catch (error) {
    throw new RunError(`${place} can't be written: ${wordsOf(error)}`);
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
  const place = placeOf(folder, member, step);
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = await Deno.readFile(place);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
  const { tensors, metadata } = parseSafetensors(bytes, place);
  if (metadata.stateHash !== stateHash) return undefined;
  const vectors = Object.fromEntries(
    Object.entries(tensors).map(([name, { values }]) => [name, values as Float32Array]),
  );
  return { updates: Number(metadata.updates), vectors };
}

async function prune(folder: string, member: string, keepLast: number): Promise<void> {
  const checkpoints = await checkpointSteps(folder);
  const steps: number[] = [];
  for await (const { name } of Deno.readDir(`${folder}/moments`)) {
    const step = name.startsWith(`${member}-step-`) && name.match(/-step-(\d+)\.safetensors$/)?.[1];
    if (step) steps.push(Number(step));
  }
  const old = steps.sort((a, b) => b - a).slice(keepLast).filter((step) => !checkpoints.includes(step));
  for (const step of old) await remove(placeOf(folder, member, step));
}

function placeOf(folder: string, member: string, step: number): string {
  return `${folder}/moments/${member}-step-${String(step).padStart(8, "0")}.safetensors`;
}

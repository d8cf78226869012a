/**
 * The hash of a replica's state, by which members are compared and checkpoints are checked.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { sha256 } from "../../hashing.ts";
import type { ReplicaState, StateHashes } from "./replica.ts";
import { floatBytes } from "../vectors/floats.ts";

/**
 * SHA-256 over all that replicas have in common, and over the parameters alone, in hexadecimal.
 *
 * @example
 * ```ts
 * import { hashesOf } from "./state_hash.ts";
 * const state = { step: 1, updates: 1, tokens: 10, vectors: { params: new Float32Array(3) } };
 * console.assert(hashesOf(state).state !== hashesOf({ ...state, updates: 2 }).state);
 * ```
 */
export function hashesOf({ vectors, updates }: ReplicaState): StateHashes {
  const hash = (vector: Float32Array) => createHash("sha256").update(floatBytes(vector)).digest("hex");
  const lines = namesOf(vectors).map((name) => `${name} ${hash(vectors[name])}\n`);
  const all = summaryOf(lines, updates);
  return { state: createHash("sha256").update(all).digest("hex"), params: hash(vectors.params) };
}

/** `state` of {@linkcode hashesOf}. Yields to the event loop in between, so that a replica trains and a coordinator answers meanwhile. */
export async function stateHashOf({ vectors, updates }: ReplicaState): Promise<string> {
  const lines: string[] = [];
  for (const name of namesOf(vectors)) lines.push(`${name} ${await sha256([floatBytes(vectors[name])])}\n`);
  return await sha256([new TextEncoder().encode(summaryOf(lines, updates))]);
}

/** The text whose hash is the hash of a state. */
function summaryOf(lines: readonly string[], updates: number): string {
  return `${lines.join("")}updates ${updates}\n`;
}

/** Names of a state's vectors, in the order in which they are hashed and sent. */
export function namesOf(vectors: Record<string, Float32Array>): string[] {
  return Object.keys(vectors).sort();
}

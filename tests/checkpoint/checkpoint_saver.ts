/**
 * Saves a checkpoint for every step until it is killed, from the one after the newest on: what tests/checkpoint/checkpoint_kills_test.ts
 * kills at random moments.
 */

import { newestCheckpoint, type ReplicaState, saveCheckpoint } from "../../src/checkpoint/checkpoint.ts";
import { layoutOf } from "../../src/layout.ts";
import { uniformArray } from "../../src/prng.ts";

export const layout = layoutOf([["a.weight", [64, 50]], ["a.bias", [64]]]);

/** The state at a step, the same every time. */
export function stateAt(step: number): ReplicaState {
  const vector = (purpose: string) => uniformArray(layout.size, step, purpose, -1, 1);
  const vectors = { params: vector("params"), m: vector("m"), v: vector("v") };
  return { step, updates: step - 1, tokens: 100 * step, vectors };
}

if (import.meta.main) {
  const [folder] = Deno.args;
  const context = { layout, buffers: {}, config: { model: {} } };
  for (let step = 1 + (await newestCheckpoint(folder, console.error) ?? 0);; step++) {
    await saveCheckpoint(folder, stateAt(step), context, 2);
    console.log(step);
  }
}

import assert from "node:assert/strict";
import {
  checkpointSteps,
  loadCheckpoint,
  newestCheckpoint,
  type ReplicaState,
  saveCheckpoint,
} from "../src/checkpoint.ts";
import { layoutOf } from "../src/layout.ts";
import { uniformArray } from "../src/prng.ts";

const layout = layoutOf([["a.weight", [3, 5]], ["a.bias", [3]]]);
const context = {
  layout,
  buffers: { freqs: { dtype: "F32", shape: [2], values: new Float32Array([1, 0.5]) } } as const,
  config: { model: { dim: 3 } },
};

function stateAt(step: number): ReplicaState {
  const vector = (purpose: string) => uniformArray(layout.size, step, purpose, -1, 1);
  return {
    step,
    updates: step - 1,
    tokens: 100 * step,
    vectors: { params: vector("params"), m: vector("m"), v: vector("v") },
  };
}

async function withFolder(test: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await test(`${folder}/checkpoints`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const noDamage = (text: string) => assert.fail(text);

Deno.test("a checkpoint gives back the state, bit for bit, and its configuration", () =>
  withFolder(async (folder) => {
    await saveCheckpoint(folder, stateAt(4), context, 3);
    assert.equal(await newestCheckpoint(folder, noDamage), 4);
    const loaded = await loadCheckpoint(folder, 4, layout);
    assert.deepEqual(loaded.state, stateAt(4));
    assert.deepEqual(loaded.config, context.config);
  }));

Deno.test("only the newest checkpoints are kept, and saving a step again replaces it", () =>
  withFolder(async (folder) => {
    for (const step of [1, 2, 3, 4, 4]) await saveCheckpoint(folder, stateAt(step), context, 2);
    assert.deepEqual(await checkpointSteps(folder), [4, 3]);
    assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name).sort(), [
      "step-00000003",
      "step-00000004",
    ]);
  }));

Deno.test("a damaged checkpoint is passed over with a word, and the one before it is used", () =>
  withFolder(async (folder) => {
    for (const step of [1, 2, 3]) await saveCheckpoint(folder, stateAt(step), context, 3);
    const flip = async (path: string) => {
      const bytes = await Deno.readFile(path);
      bytes[bytes.length - 1] ^= 1;
      await Deno.writeFile(path, bytes);
    };
    await flip(`${folder}/step-00000003/model.safetensors`);
    await Deno.truncate(`${folder}/step-00000002/optimizer.safetensors`, 50);
    const words: string[] = [];
    assert.equal(await newestCheckpoint(folder, (text) => words.push(text)), 1);
    assert.match(words[0], /step-00000003.*model.safetensors is damaged/);
    assert.match(words[1], /step-00000002.*optimizer.safetensors is damaged/);
  }));

Deno.test("a checkpoint that was being written when its process died is not there", () =>
  withFolder(async (folder) => {
    await saveCheckpoint(folder, stateAt(1), context, 3);
    await Deno.mkdir(`${folder}/step-00000002.tmp`);
    assert.equal(await newestCheckpoint(folder, noDamage), 1);
  }));

Deno.test("a checkpoint of another model or another format is refused by name", () =>
  withFolder(async (folder) => {
    await saveCheckpoint(folder, stateAt(1), context, 3);
    const other = layoutOf([["a.weight", [5, 3]], ["a.bias", [3]]]);
    await assert.rejects(loadCheckpoint(folder, 1, other), /model of other shapes/);
    const path = `${folder}/step-00000001/state.json`;
    await Deno.writeTextFile(path, (await Deno.readTextFile(path)).replace('"format": 1', '"format": 7'));
    await assert.rejects(loadCheckpoint(folder, 1, layout), /format 7, this version reads 1/);
  }));

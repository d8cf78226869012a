import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import {
  checkpointSteps,
  loadCheckpoint,
  newestCheckpoint,
  type ReplicaState,
  saveCheckpoint,
} from "../../src/checkpoint/checkpoint.ts";
import { placeOf } from "../../src/checkpoint/folder.ts";
import { layoutOf } from "../../src/layout.ts";
import { uniformArray } from "../../src/prng.ts";

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
    assert.deepEqual(loaded.about.config, context.config);
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
    assert.equal(await newestCheckpoint(folder, (text) => void words.push(text)), 1);
    assert.match(words[0], /step-00000003.*model.safetensors is damaged/);
    assert.match(words[1], /step-00000002.*optimizer.safetensors is damaged/);
  }));

Deno.test("a checkpoint that was being written when its process died is not there", () =>
  withFolder(async (folder) => {
    await saveCheckpoint(folder, stateAt(1), context, 3);
    await Deno.mkdir(`${folder}/step-00000002.tmp`);
    assert.equal(await newestCheckpoint(folder, noDamage), 1);
  }));

Deno.test("a checkpoint of another model or another format is rejected with the difference, and stays", () =>
  withFolder(async (folder) => {
    for (const step of [1, 2]) await saveCheckpoint(folder, stateAt(step), context, 3);
    const other = layoutOf([["a.weight", [5, 3]], ["a.bias", [3]]]);
    await assert.rejects(loadCheckpoint(folder, 2, other), /model of other shapes/);
    const path = `${folder}/step-00000002/state.json`;
    await Deno.writeTextFile(path, (await Deno.readTextFile(path)).replace('"format": 1', '"format": 7'));
    const words = /format 7, this version reads 1; take the flashmob that wrote it/;
    await assert.rejects(loadCheckpoint(folder, 2, layout), words);
    await assert.rejects(
      newestCheckpoint(folder, noDamage),
      words,
      "an older one is no way out: it would replace this one",
    );
  }));

Deno.test("the best by validation loss is kept besides the newest, the latest of equals", () =>
  withFolder(async (folder) => {
    const losses = new Map<number, number>();
    const save = async (step: number, loss?: number) => {
      if (loss !== undefined) losses.set(step, loss);
      await saveCheckpoint(folder, stateAt(step), context, 1, losses);
      return await checkpointSteps(folder);
    };
    assert.deepEqual(await save(1, 3), [1]);
    assert.deepEqual(await save(2, 2), [2]);
    assert.deepEqual(await save(3, 2.5), [3, 2]);
    assert.deepEqual(await save(4), [4, 2]);
    assert.deepEqual(await save(5, 2), [5]);
    losses.set(99, 0); // of a step that has no checkpoint
    assert.deepEqual(await save(6, 4), [6, 5]);
  }));

Deno.test("a checkpoint whose loss is no number is never the best, and pushes out none that is sound", () =>
  withFolder(async (folder) => {
    const losses = new Map<number, number>();
    const save = async (step: number, loss: number) => {
      losses.set(step, loss);
      await saveCheckpoint(folder, stateAt(step), context, 2, losses);
      return await checkpointSteps(folder);
    };
    assert.deepEqual(await save(1, NaN), [1]);
    assert.deepEqual(await save(2, Infinity), [2, 1], "there are no others");
    assert.deepEqual(await save(3, 2), [3, 2]);
    assert.deepEqual(await save(4, 3), [4, 3]);
    assert.deepEqual(await save(5, NaN), [5, 4, 3]);
    assert.deepEqual(await save(6, -Infinity), [6, 4, 3]);
    assert.deepEqual(await save(7, NaN), [7, 4, 3]);
    assert.deepEqual(await save(8, 2.5), [8, 4, 3], "it is sound again");
    assert.deepEqual(await save(9, 2.75), [9, 8, 3], "two and the best");
  }));

Deno.test("half-deleted checkpoints are passed over with a word, don't count as kept, and go in time", () =>
  withFolder(async (folder) => {
    for (const step of [1, 2, 3]) await saveCheckpoint(folder, stateAt(step), context, 3);
    await Deno.remove(`${folder}/step-00000003/state.json`);
    await Deno.remove(`${folder}/step-00000002/optimizer.safetensors`);
    const words: string[] = [];
    assert.equal(await newestCheckpoint(folder, (text) => void words.push(text)), 1);
    assert.match(words[0], /step-00000003: state.json is missing: it was being deleted/);
    assert.match(words[1], /step-00000002: optimizer.safetensors can't be read/);
    await saveCheckpoint(folder, stateAt(4), context, 3);
    assert.deepEqual(await checkpointSteps(folder), [4, 2, 1]);
  }));

Deno.test("each kind of damage is found in each file", () =>
  withFolder(async (folder) => {
    for (const name of ["model.safetensors", "optimizer.safetensors", "state.json"]) {
      const path = `${folder}/step-00000001/${name}`;
      const damages: ((bytes: Uint8Array) => Uint8Array)[] = [
        (bytes) => bytes.subarray(0, bytes.length / 2),
        () => new Uint8Array(),
        (bytes) => bytes.map((byte, i) => i === bytes.length >> 1 ? byte ^ 0x80 : byte),
        (bytes) => new Uint8Array(bytes.length),
      ];
      for (const damage of damages) {
        await saveCheckpoint(folder, stateAt(1), context, 3);
        const whole = await Deno.readFile(path);
        await Deno.writeFile(path, damage(whole));
        const words: string[] = [];
        assert.equal(await newestCheckpoint(folder, (text) => void words.push(text)), undefined, name);
        assert.match(words[0], new RegExp(`step-00000001.*${name}`));
        await assert.rejects(loadCheckpoint(folder, 1, layout), new RegExp(name));
      }
    }
  }));

Deno.test("a step that was saved with the same content stays as it is, a damaged one is replaced", () =>
  withFolder(async (folder) => {
    const path = await saveCheckpoint(folder, stateAt(1), context, 3) + "/model.safetensors";
    const before = await Deno.stat(path);
    await saveCheckpoint(folder, stateAt(1), context, 3);
    assert.equal((await Deno.stat(path)).ino, before.ino);
    await Deno.truncate(path, 20);
    await saveCheckpoint(folder, stateAt(1), context, 3);
    assert.equal(await newestCheckpoint(folder, noDamage), 1);
    assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name), ["step-00000001"]);
  }));

Deno.test("what killed processes left behind goes with the next checkpoint", () =>
  withFolder(async (folder) => {
    for (const name of ["step-00000002.tmp", "step-00000001.old", "step-00000009.tmp"]) {
      await Deno.mkdir(`${folder}/${name}`, { recursive: true });
    }
    await saveCheckpoint(folder, stateAt(3), context, 3);
    const names = [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
    assert.deepEqual(names, ["step-00000003", "step-00000009.tmp"], "a later step may be being written");
  }));

Deno.test("a folder that can't be written to is an error with a message", () =>
  withFolder(async (folder) => {
    await Deno.writeTextFile(folder, "a file is in the way");
    await assert.rejects(
      saveCheckpoint(folder, stateAt(1), context, 3),
      /^RunError: The checkpoint .*step-00000001 can't be written: .*Those before it are untouched/,
    );
  }));

Deno.test("a write that fails leaves the checkpoints before it, nothing half, and says why", () =>
  withFolder(async (folder) => {
    for (const step of [1, 2]) await saveCheckpoint(folder, stateAt(step), context, 2);
    const saver = fileURLToPath(new URL("checkpoint_saver.ts", import.meta.url));
    const deno = `"${Deno.execPath()}" run --no-check --no-code-cache -A "${saver}" "${folder}"`;
    // files of at most 8 KiB, where the model takes 13: write() fails as it does on a full disk
    const { code, stderr } = await new Deno.Command("bash", {
      args: ["-c", `trap "" XFSZ; ulimit -f 8; exec ${deno}`],
    }).output();
    assert.notEqual(code, 0);
    assert.match(
      new TextDecoder().decode(stderr),
      /step-00000003 can't be written: File too large.*untouched/,
    );
    assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name).sort(), [
      "step-00000001",
      "step-00000002",
    ]);
    assert.equal(await newestCheckpoint(folder, noDamage), 2);
  }));

Deno.test("the step of a checkpoint is what its state.json says, and a difference from its name is told", () =>
  withFolder(async (folder) => {
    await saveCheckpoint(folder, stateAt(2), context, 3);
    await new Deno.Command("cp", { args: ["-r", placeOf(folder, 2), placeOf(folder, 99)] }).output();
    assert.equal(await newestCheckpoint(folder, noDamage), 2);
    const words: string[] = [];
    await Deno.remove(placeOf(folder, 2), { recursive: true });
    assert.equal(await newestCheckpoint(folder, (text) => void words.push(text)), 2);
    assert.match(words.join(), /step-00000099 holds the state of step 2/);
    assert.deepEqual((await loadCheckpoint(folder, 2, layout)).state, stateAt(2));
  }));

Deno.test("a checkpoint whose folder is a link is found, and a link that leads nowhere is none", () =>
  withFolder(async (folder) => {
    await saveCheckpoint(folder, stateAt(3), context, 3);
    await Deno.rename(placeOf(folder, 3), `${folder}/../elsewhere`);
    await Deno.symlink("../elsewhere", placeOf(folder, 3));
    await Deno.symlink("nowhere", placeOf(folder, 4));
    await Deno.symlink("step-00000005", placeOf(folder, 5));
    assert.equal(await newestCheckpoint(folder, noDamage), 3);
  }));

Deno.test("a checkpoint of another run is neither found nor replaced", () =>
  withFolder(async (folder) => {
    await saveCheckpoint(folder, stateAt(3), { ...context, run: "one" }, 3);
    await saveCheckpoint(folder, stateAt(2), { ...context, run: "other" }, 3);
    const words: string[] = [];
    assert.equal(await newestCheckpoint(folder, (text) => void words.push(text), "other"), 2);
    assert.match(words.join(), /passed over .*step-00000003: it belongs to another run, one/);
    const before = await Deno.readTextFile(`${placeOf(folder, 3)}/state.json`);
    await assert.rejects(
      saveCheckpoint(folder, stateAt(3), { ...context, run: "other" }, 3),
      /a checkpoint of another run is there .*one, this run's other/,
    );
    assert.equal(await Deno.readTextFile(`${placeOf(folder, 3)}/state.json`), before);
  }));

Deno.test("pruning deletes neither what is another run's nor what a link leads to", () =>
  withFolder(async (folder) => {
    await saveCheckpoint(folder, stateAt(1), { ...context, run: "other" }, 1);
    await saveCheckpoint(folder, stateAt(2), { ...context, run: "one" }, 1);
    await Deno.rename(placeOf(folder, 2), `${folder}/../elsewhere`);
    await Deno.symlink("../elsewhere", placeOf(folder, 2));
    for (const step of [3, 4]) await saveCheckpoint(folder, stateAt(step), { ...context, run: "one" }, 1);
    assert.deepEqual(await checkpointSteps(folder), [4, 1]);
    assert.ok((await Deno.stat(`${folder}/../elsewhere/state.json`)).isFile);
  }));

Deno.test("a state.json that is not what it should be is passed over, with what is wrong", () =>
  withFolder(async (folder) => {
    await saveCheckpoint(folder, stateAt(1), context, 3);
    const path = await saveCheckpoint(folder, stateAt(2), context, 3) + "/state.json";
    const about = JSON.parse(await Deno.readTextFile(path));
    for (
      const [changes, words] of [
        [{ step: "2" }, /its step/],
        [{ step: -1 }, /its step/],
        [{ sha256: null }, /its sha256/],
        [{ config: [] }, /its config/],
        [{ own: { updates: 1 } }, /its own.vectors/],
        [{ layout: undefined }, /its layout/],
      ] as const
    ) {
      await Deno.writeTextFile(path, JSON.stringify({ ...about, ...changes }));
      const said: string[] = [];
      assert.equal(await newestCheckpoint(folder, (text) => void said.push(text)), 1);
      assert.match(said.join(), words);
    }
  }));

import assert from "node:assert/strict";
import { loadMoments, saveMoments } from "../../src/checkpoint/moments.ts";
import { RunError } from "../../src/errors.ts";

const own = (value: number) => ({
  updates: 7,
  vectors: { m: new Float32Array([value, -0]), v: new Float32Array([NaN, 1e-45]) },
});

async function withFolder(test: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "flashmob-test-" });
  try {
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("a member's moments come back bit for bit, for its name, step and state only", () =>
  withFolder(async (folder) => {
    await saveMoments(folder, "a-1", 20, own(1), "hash", 3);
    assert.deepEqual(await loadMoments(folder, "a-1", 20, "hash"), own(1));
    for (
      const [member, step, hash] of [["a", 20, "hash"], ["a-1", 40, "hash"], ["a-1", 20, "other"]] as const
    ) {
      assert.equal(await loadMoments(folder, member, step, hash), undefined);
    }
    await Deno.writeTextFile(`${folder}/moments/a-1-step-00000020.safetensors`, "half a file");
    await assert.rejects(loadMoments(folder, "a-1", 20, "hash"), SyntaxError);
  }));

Deno.test("moments are deleted with their checkpoints, those of other members are not", () =>
  withFolder(async (folder) => {
    await Deno.mkdir(`${folder}/step-00000010`); // the best one, say
    for (const step of [10, 20, 30, 40]) {
      for (const member of ["a", "a-1"]) await saveMoments(folder, member, step, own(step), "hash", 2);
    }
    await saveMoments(folder, "a", 50, own(50), "hash", 2);
    const names = [...Deno.readDirSync(`${folder}/moments`)].map(({ name }) => name.slice(0, -12)).sort();
    const expected = ["a-1-step-00000010", "a-1-step-00000030", "a-1-step-00000040"];
    assert.deepEqual(names, [...expected, "a-step-00000010", "a-step-00000040", "a-step-00000050"]);
  }));

Deno.test("moments that can't be written are an error with their place", () =>
  withFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/moments`, "a file");
    await assert.rejects(
      saveMoments(folder, "a", 20, own(1), "hash", 3),
      (error) =>
        error instanceof RunError && /moments\/a-step-00000020.*can't be written/.test(error.message),
    );
  }));

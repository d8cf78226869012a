/** What `deno task test` runs, and how it counts. @module */

import assert from "node:assert/strict";
import { batchesOf, runBatches, summaryOf } from "./suite.ts";

Deno.test("each test file is in one batch, and the examples are in another", () => {
  const files = (folder: string): string[] =>
    [...Deno.readDirSync(folder)].flatMap(({ name, isDirectory }) =>
      isDirectory ? files(`${folder}/${name}`) : name.endsWith("_test.ts") ? [`${folder}/${name}`] : []
    );
  const batches = batchesOf("tests", ["README.md", "src"]);
  assert.deepEqual(batches.pop(), ["--doc", "README.md", "src"]);
  assert.deepEqual(batches.flat().sort(), files("tests").sort());
  assert.match(batches[0][0], /^tests\/(run|dist)\/[a-z_]+_test\.ts$/);
});

Deno.test("a batch that fails, or ends without a summary, is named and counted", async () => {
  const folder = await Deno.makeTempDir({ prefix: "flashmob-test-" });
  const sources = {
    "good/one_test.ts":
      'Deno.test("a", () => {}); Deno.test("b", async (t) => void await t.step("c", () => {}));',
    "bad/one_test.ts": 'Deno.test("a", () => {}); Deno.test("b", () => { throw new Error("no"); });',
    "gone/one_test.ts": 'Deno.test("a", () => Deno.kill(Deno.pid, "SIGKILL"));',
  };
  for (const [path, text] of Object.entries(sources)) {
    await Deno.mkdir(`${folder}/${path.split("/")[0]}`);
    await Deno.writeTextFile(`${folder}/${path}`, text);
  }
  let said = "";
  assert.equal(await runBatches(batchesOf(folder, []), (text) => void (said += text)), false);
  await Deno.remove(folder, { recursive: true });
  assert.match(said, /\nFAILED \| 3 passed \| 2 failed \(\d+s\)\n$/);
  assert.deepEqual([...said.matchAll(/^failed: .*\/(.*)\/one_test.ts$/gm)].map(([, name]) => name).sort(), [
    "bad",
    "gone",
  ]);
});

Deno.test("the sum of the batches is one line like that of a single run", () => {
  const result = (output: string) => ({ args: [], code: 0, output: `running 1 test\n\n${output}\n\n` });
  const outputs = ["ok | 12 passed (3 steps) | 0 failed (5s)", "ok | 7 passed | 0 failed | 2 ignored (1m1s)"];
  assert.equal(summaryOf(outputs.map(result), 61.4), "ok | 19 passed | 0 failed (61s)");
});

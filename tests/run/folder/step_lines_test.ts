/** Files with lines in the order of their steps, and how they are cut back. @module */

import assert from "node:assert/strict";
import { addLine, discardAfter, StepLines } from "../../../src/run/folder/step_lines.ts";

/** A file with a text, which is removed after the test. */
async function fileWith(text: string) {
  const folder = await Deno.makeTempDir({ prefix: "flashmob-test-" });
  const path = `${folder}/metrics.jsonl`;
  Deno.writeTextFileSync(path, text);
  const textIn = (name: string) => {
    try {
      return Deno.readTextFileSync(`${folder}/${name}`);
    } catch {
      return undefined;
    }
  };
  return {
    path,
    cut: (step: number) => {
      discardAfter(path, step);
      return [textIn("metrics.jsonl"), textIn("metrics.discarded.jsonl")];
    },
    [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }),
  };
}

const line = (step: number, more = "") => `{"step":${step},"more":"${more}"}\n`;

Deno.test("lines of later steps move into another file, with half a line of a process that was killed", async () => {
  const two = line(1) + line(2) + line(2, "evaluated");
  for (
    const [text, kept, discarded] of [
      [two, two, undefined],
      [two + line(3) + line(4), two, line(3) + line(4)],
      [two + line(3) + '{"step":4,"lo', two, line(3) + '{"step":4,"lo\n'],
      [two + '{"step":1', two, '{"step":1\n'],
      [two.trimEnd(), two, undefined],
      [line(3), "", line(3)],
      ["", "", undefined],
    ]
  ) {
    await using file = await fileWith(text!);
    assert.deepEqual(file.cut(2), [kept, discarded], `${text}`);
  }
});

Deno.test("cut at any step, with lines longer and shorter than what is read at once, the two files are the one", async () => {
  const lengths = [10, 70_000, 0, 65_500, 200_000, 5, 65_536, 131_072, 3];
  const lines = lengths.map((length, i) => line(i + 1, "x".repeat(length)));
  for (let step = 0; step <= lines.length; step++) {
    await using file = await fileWith(lines.join(""));
    const [kept, discarded = ""] = file.cut(step);
    assert.equal(kept, lines.slice(0, step).join(""));
    assert.equal(discarded, lines.slice(step).join(""));
  }
});

Deno.test("what is discarded twice is there twice, in order; a file that is not there stays so", async () => {
  await using file = await fileWith(line(1) + line(2));
  file.cut(1);
  Deno.writeTextFileSync(file.path, line(2, "again"), { append: true });
  assert.deepEqual(file.cut(1), [line(1), line(2) + line(2, "again")]);
  await Deno.remove(file.path);
  assert.equal(file.cut(0)[0], undefined);
});

Deno.test("who has the file open writes into the new one no more; lines of no numbers are words", async () => {
  await using file = await fileWith("");
  using before = new StepLines<{ step: number; loss: number }>(file.path, "metrics");
  before.write({ step: 1, loss: NaN });
  discardAfter(file.path, 1);
  before.write({ step: 2, loss: 2 });
  assert.equal(Deno.readTextFileSync(file.path), '{"step":1,"loss":"NaN"}\n');
});

Deno.test("a line is one of its own, also after half of another one", async () => {
  await using file = await fileWith("");
  addLine(file.path, "one");
  Deno.writeTextFileSync(file.path, '{"ev', { append: true });
  addLine(file.path, "two");
  assert.equal(Deno.readTextFileSync(file.path), 'one\n{"ev\ntwo\n');
});

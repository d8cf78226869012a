/** @module */

import assert from "node:assert/strict";
import { promptsOf, textOf } from "../../../src/run/replica/prompts.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

/** The default prompt. */
function promptIn(text: string, { seqLen = 256, documents = false } = {}): string | undefined {
  const config = { eval: { every: 0, windows: 1 }, data: { seqLen } } as Parameters<typeof promptsOf>[0];
  const spans = documents ? { train: [], validation: [] } : undefined;
  const [prompt] = promptsOf(config, { validation: bytes(text), documents: spans });
  return prompt && textOf(prompt);
}

Deno.test("the default prompt is the validation part's first words: a line, and 32 bytes at most", () => {
  assert.equal(promptIn("eople and the Congress\nof these States"), "and the Congress");
  assert.equal(promptIn(`cut ${"word ".repeat(20)}`), "word word word word word word wo");
  assert.equal(promptIn("\n\nTo the Congress:\n"), "To the Congress:");
  assert.equal(promptIn("one document\nanother", { documents: true }), "one document");
  assert.equal(promptIn("a " + "b".repeat(40), { seqLen: 4 }), "bbbb");
  assert.equal(promptIn("x".repeat(100)), "x".repeat(32), "a text without words");
});

Deno.test("no character is cut at the end of the default prompt, and there is none where there is no word", () => {
  assert.equal(promptIn(`a ${"b".repeat(31)}éc`), "b".repeat(31));
  assert.equal(promptIn(`a ${"b".repeat(30)}éc`), `${"b".repeat(30)}é`);
  assert.equal(promptIn(" \n\n "), undefined);
  assert.equal(promptIn(""), undefined);
});

Deno.test("eval.samples are the prompts as they stand; an empty list means none", () => {
  const config = (samples: string[]) => ({ eval: { samples }, data: { seqLen: 8 } }) as never;
  const corpus = { validation: bytes("of the people") };
  assert.deepEqual(promptsOf(config(["é, ", "b"]), corpus).map(textOf), ["é, ", "b"]);
  assert.deepEqual(promptsOf(config([]), corpus), []);
});

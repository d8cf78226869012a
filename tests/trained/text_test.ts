import assert from "node:assert/strict";
import { decodeBytes, generateText } from "../../src/trained/text.ts";
import { onBackend } from "../model/backends.ts";
import { smallTransformer } from "../model/models.ts";

/** What comes out after each byte. */
async function pieces(...texts: (number | undefined)[][]): Promise<string[][]> {
  const rows = texts[0].map((_, i) => texts.map((text) => text[i]));
  return await Array.fromAsync(decodeBytes(toAsync(rows)));
}

async function* toAsync<T>(items: T[]): AsyncGenerator<T> {
  for (const item of items) yield await Promise.resolve(item);
}

const bytesOf = (text: string) => [...new TextEncoder().encode(text)];

Deno.test("a character of several bytes comes when it is complete", async () => {
  assert.deepEqual((await pieces(bytesOf("aé€😀b"))).flat(), [
    "a",
    "",
    "é",
    "",
    "",
    "€",
    "",
    "",
    "",
    "😀",
    "b",
  ]);
});

Deno.test("a character that is cut off at the end does not come, nor do tokens that are no bytes", async () => {
  assert.deepEqual((await pieces([97, 0xe2, 0x82])).flat(), ["a", "", ""]);
  assert.deepEqual((await pieces([97, 300, 98])).flat(), ["a", "", "b"]);
});

Deno.test("bytes that are no UTF-8 are shown as U+FFFD, and what follows is read right", async () => {
  assert.equal((await pieces([0xe2, ...bytesOf("(é")])).flat().join(""), "\ufffd(é");
});

Deno.test("each text is decoded by itself, ended ones too", async () => {
  assert.deepEqual(await pieces([0xc3, 0xa9, 97], [0xc3, undefined, undefined]), [["", ""], ["é", ""], [
    "a",
    "",
  ]]);
});

onBackend("tensorflow", "an empty prompt goes on as after a newline", async () => {
  const model = smallTransformer({ numTokens: 256 });
  const read = (prompt: string) => Array.fromAsync(generateText(model, prompt, 1, { tokens: 12, seed: 3 }));
  assert.deepEqual(await read(""), await read("\n"));
  assert.notDeepEqual(await read(""), await read(" "));
});

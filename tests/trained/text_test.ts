import assert from "node:assert/strict";
import { generateSamples } from "../../src/model/generation/generate.ts";
import { byteLines, generateText } from "../../src/trained/text.ts";
import { onBackend } from "../model/backends.ts";
import { smallTransformer } from "../model/models.ts";

const bytesOf = (text: string) => new TextEncoder().encode(text);

/** The lines of a stream that comes in these pieces. */
async function linesOf(...pieces: (string | number[])[]): Promise<number[][]> {
  const stream = ReadableStream.from(
    pieces.map((piece) => typeof piece === "string" ? bytesOf(piece) : Uint8Array.from(piece)),
  );
  return (await Array.fromAsync(byteLines(stream))).map((line) => [...line]);
}

Deno.test("lines of bytes are what stands between newlines, however they come", async () => {
  const lines = (...texts: string[]) => texts.map((text) => [...bytesOf(text)]);
  assert.deepEqual(await linesOf(), []);
  assert.deepEqual(await linesOf("one\ntwo"), lines("one", "two"));
  assert.deepEqual(await linesOf("one\n\ntwo\n"), lines("one", "", "two"));
  assert.deepEqual(
    await linesOf("o", "ne\nt", "w", "o\r\n", "\n", "three"),
    lines("one", "two\r", "", "three"),
  );
});

Deno.test("bytes that are no UTF-8 stay what they are, characters cut between two pieces and byte order marks, too", async () => {
  assert.deepEqual(await linesOf([0x63, 0xe9, 10, 0xff]), [[0x63, 0xe9], [0xff]]);
  assert.deepEqual(await linesOf([0xe2, 0x82], [0xac, 10]), [[0xe2, 0x82, 0xac]]);
  assert.deepEqual(await linesOf([0xef, 0xbb, 0xbf, 97]), [[0xef, 0xbb, 0xbf, 97]]);
});

onBackend(
  "tensorflow",
  "a text continues from the bytes of its prompt, with the bytes that the model gives",
  async () => {
    const model = smallTransformer({ numTokens: 300 });
    const options = { tokens: 40, seed: 3, temperature: 3 };
    const prompt = Uint8Array.of(0x63, 0xe9, 0xff);
    const tokens = await Array.fromAsync(generateSamples(model, [...prompt], 2, options));
    const added = await Array.fromAsync(generateText(model, prompt, 2, options));
    const bytes = tokens.map((row) => row.map((token) => token! < 256 ? [token] : []));
    assert.deepEqual(added.map((row) => row.map((bytes) => [...bytes])), bytes);
    assert.ok(bytes.flat().some(({ length }) => length === 0), "a token that is no byte");
    assert.ok(bytes.flat(2).some((byte) => byte! > 127), "a byte that is no ASCII");
  },
);

onBackend("tensorflow", "an empty prompt continues as after a newline", async () => {
  const model = smallTransformer({ numTokens: 256 });
  const read = (prompt: string) =>
    Array.fromAsync(generateText(model, bytesOf(prompt), 1, { tokens: 12, seed: 3 }));
  assert.deepEqual(await read(""), await read("\n"));
  assert.notDeepEqual(await read(""), await read(" "));
});

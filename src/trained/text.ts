/**
 * Text from a model whose tokens are bytes: bytes in, bytes out, whatever they encode.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { type GenerateOptions, generateSamples } from "../model/generation/generate.ts";
import type { FLASHTransformer } from "../model/mod.ts";

const NEWLINE = 10;

/**
 * Goes on with a prompt: the bytes that each sample adds to its text, as they come. Tokens above 255 are no bytes and left out.
 *
 * @param prompt may be empty: then the text continues as after a newline
 * @throws {RangeError} as {@linkcode generateSamples}
 *
 * @example
 * ```ts
 * import { FLASHTransformer } from "../model/mod.ts";
 * import { initBackend } from "../tensorflow/mod.ts";
 * import { generateText } from "./text.ts";
 * await initBackend({ backend: "cpu" });
 * const model = new FLASHTransformer({ numTokens: 256, dim: 16, depth: 1, causal: true, groupSize: 4 }, { seed: 1 });
 * const prompt = new TextEncoder().encode("Good morning"), decoder = new TextDecoder();
 * let text = "";
 * for await (const [added] of generateText(model, prompt, 1, { tokens: 5 })) text += decoder.decode(added, { stream: true });
 * ```
 */
export async function* generateText(
  model: FLASHTransformer,
  prompt: Uint8Array,
  samples: number,
  options: GenerateOptions = {},
): AsyncGenerator<Uint8Array[], void> {
  const tokens = prompt.length > 0 ? [...prompt] : [NEWLINE];
  for await (const row of generateSamples(model, tokens, samples, options)) {
    yield row.map((token) => token !== undefined && token < 256 ? Uint8Array.of(token) : new Uint8Array());
  }
}

/** The lines of a byte stream, without their ends. */
export async function* byteLines(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
): AsyncGenerator<Uint8Array, void> {
  let begun: Uint8Array[] = []; // of the line that has not ended yet
  for await (const piece of stream) {
    let start = 0;
    for (let end; (end = piece.indexOf(NEWLINE, start)) >= 0; start = end + 1) {
      yield Buffer.concat([...begun, piece.subarray(start, end)]);
      begun = [];
    }
    if (start < piece.length) begun.push(piece.slice(start));
  }
  if (begun.length > 0) yield Buffer.concat(begun);
}

/**
 * Text from a model whose tokens are bytes.
 *
 * @module
 */

import { type GenerateOptions, generateSamples } from "../model/generation.ts";
import type { FLASHTransformer } from "../model/mod.ts";

/** What stands before a text that begins with nothing: a newline. */
const START = 10;

/**
 * Goes on with a prompt: what each sample adds to its text, as it comes, as {@linkcode decodeBytes} does.
 *
 * @param prompt may be empty: then the text goes on as after a newline
 * @throws {RangeError} as {@linkcode generateSamples}
 *
 * @example
 * ```ts
 * import { FLASHTransformer } from "../model/mod.ts";
 * import { initBackend } from "../tensorflow/mod.ts";
 * import { generateText } from "./text.ts";
 * await initBackend({ backend: "cpu" });
 * const model = new FLASHTransformer({ numTokens: 256, dim: 16, depth: 1, causal: true, groupSize: 4 }, { seed: 1 });
 * let text = "";
 * for await (const [added] of generateText(model, "Good morning", 1, { tokens: 5 })) text += added;
 * ```
 */
export function generateText(
  model: FLASHTransformer,
  prompt: string,
  samples: number,
  options: GenerateOptions = {},
): AsyncGenerator<string[], void> {
  const bytes = new TextEncoder().encode(prompt);
  return decodeBytes(generateSamples(model, bytes.length > 0 ? [...bytes] : [START], samples, options));
}

/**
 * UTF-8 from rows of bytes, one per text; undefined where a text has none. A character of several bytes comes when it is
 * complete, never in halves; bytes that are no UTF-8 come as U+FFFD, and a character that is cut off at the end not at
 * all. Tokens above 255 are no bytes and left out.
 */
export async function* decodeBytes(
  rows: AsyncIterable<readonly (number | undefined)[]>,
): AsyncGenerator<string[], void> {
  const decoders: TextDecoder[] = [];
  for await (const row of rows) {
    yield row.map((token, i) => {
      decoders[i] ??= new TextDecoder("utf-8", { ignoreBOM: true });
      const isByte = token !== undefined && token < 256;
      return isByte ? decoders[i].decode(Uint8Array.of(token), { stream: true }) : "";
    });
  }
}

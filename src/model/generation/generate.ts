/**
 * Text generation with a causal transformer, token by token.
 *
 * @module
 */

import { setImmediate } from "node:timers/promises";
import { randomStream } from "../../prng.ts";
import type { ExecutionPath } from "../../tensorflow/mod.ts";
import { Decoder } from "./decoder.ts";
import { checkSampling, sampleToken, type Sampling } from "./sampling.ts";
import type { FLASHTransformer } from "../models.ts";

/** How a text is continued. */
export interface GenerateOptions extends Sampling {
  /** How many tokens at most. Default 256. */
  tokens?: number;
  /** Decides what is drawn; the same seed gives the same tokens. A whole number, default 0. */
  seed?: number;
  /**
   * How tokens are decoded. Default "compiled"; "recorded" begins at once, and a small model's tokens take as long: for short texts
   * beside other work.
   */
  path?: ExecutionPath;
  /** The text ends before this token, which is not yielded. One in the prompt does not count. Default: none. */
  endToken?: number;
}

/**
 * Continues a prompt: yields the tokens after it, each as soon as it is drawn.
 *
 * The prompt is read in one pass; then a token costs the same at every position. The second token of a model's first
 * text takes a second more, to compile the decoding of one token.
 *
 * @param prompt token ids, at least one
 * @throws {RangeError} when an option or an id is out of range, the prompt is empty, or the model is not causal
 *
 * @example
 * ```ts
 * import { initBackend } from "../../tensorflow/mod.ts";
 * import { generate } from "./generate.ts";
 * import { FLASHTransformer } from "../mod.ts";
 * await initBackend({ backend: "cpu" });
 * const model = new FLASHTransformer({ numTokens: 256, dim: 16, depth: 2, causal: true, groupSize: 4 }, { seed: 1 });
 * for await (const token of generate(model, [72, 101], { tokens: 3, temperature: 0 })) console.log(token);
 * ```
 */
export async function* generate(
  model: FLASHTransformer,
  prompt: readonly number[],
  options: GenerateOptions = {},
): AsyncGenerator<number, void> {
  for await (const [token] of generateSamples(model, prompt, 1, options)) yield token!;
}

/**
 * Continues a prompt several times at once: yields for each position the token of each sample, undefined for those that have
 * ended. Sample i has a random stream of its own, which does not depend on their number. Otherwise as {@linkcode generate}.
 *
 * @param model its parameters have to stay until the end; models that share their `options` share what is compiled
 * @param samples how many
 */
export async function* generateSamples(
  model: Pick<FLASHTransformer, "options" | "frequencies" | "parameters">,
  prompt: readonly number[],
  samples: number,
  options: GenerateOptions = {},
): AsyncGenerator<(number | undefined)[], void> {
  const { tokens = 256, seed = 0, path = "compiled", endToken } = options;
  check(model, prompt, samples, options);
  const streams = Array.from({ length: samples }, (_, sample) => randomStream(seed, `generate ${sample}`));
  const ended = new Set<number>();
  using decoder = await Decoder.start(model, prompt, samples, path);
  for (let index = 0; index < tokens; index++) {
    await setImmediate(); // a token takes milliseconds: lets timers and signals run between two
    const logits = await decoder.logits();
    const chosen = streams.map(({ uniform }, row) => sampleToken(logits[row], options, uniform(index)));
    chosen.forEach((token, row) => token === endToken && ended.add(row));
    if (ended.size === samples) return;
    yield chosen.map((token, row) => ended.has(row) ? undefined : token);
    if (index < tokens - 1) await decoder.advance(chosen);
  }
}

/** Throws a RangeError for the first argument that is wrong. */
function check(
  { options: { causal, numTokens } }: Pick<FLASHTransformer, "options">,
  prompt: readonly number[],
  samples: number,
  { tokens = 0, seed = 0, endToken = 0, ...sampling }: GenerateOptions,
): void {
  if (!causal) throw new RangeError("Only a causal model generates: this one sees what follows a token.");
  if (prompt.length === 0) {
    throw new RangeError("The prompt is empty: give one token at least, for a text a newline for example.");
  }
  wholeNumber("tokens", tokens, 0);
  wholeNumber("samples", samples, 1);
  wholeNumber("seed", seed, 0);
  wholeNumber("endToken", endToken, 0, numTokens - 1);
  checkSampling(sampling);
}

function wholeNumber(name: string, value: number, low: number, high = Number.MAX_SAFE_INTEGER): void {
  if (Number.isSafeInteger(value) && value >= low && value <= high) return;
  const range = high === Number.MAX_SAFE_INTEGER ? `from ${low} up` : `from ${low} to ${high}`;
  throw new RangeError(`${name} is ${value}; it must be a whole number ${range}.`);
}

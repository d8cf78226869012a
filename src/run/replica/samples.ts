/**
 * Samples: how a replica's parameters continue the prompts of a run.
 *
 * @module
 */

import { type GenerateOptions, generateSamples } from "../../model/generation/generate.ts";
import { randomStream } from "../../prng.ts";
import { textOf } from "./prompts.ts";

/** A model that generates: its options, positions and parameters. */
type Model = Parameters<typeof generateSamples>[0];

/** Tokens of each sample. */
const TOKENS = 64;
/** Less random than the model's own distribution, so that what it has learned shows. */
const TEMPERATURE = 0.8;

/**
 * Continues prompts by up to 64 tokens each. The text is a function of seed, step, the prompts and the parameters.
 *
 * @param prompts bytes of each; not empty
 * @param beforeEach awaited before each token; throws to stop
 * @returns the texts that were added; bytes that are no UTF-8 are replaced
 */
export async function continueTexts(
  model: Model,
  prompts: readonly Uint8Array[],
  { seed, step, beforeEach }: { seed: number; step: number; beforeEach: () => Promise<void> | void },
): Promise<string[]> {
  const texts: string[] = [];
  for (const [i, prompt] of prompts.entries()) {
    const options: GenerateOptions = {
      tokens: TOKENS,
      temperature: TEMPERATURE,
      path: "recorded", // compiling would cost more than all tokens of a short run
      seed: randomStream(seed, `sample ${step} ${i}`).word(0),
    };
    const bytes: number[] = [];
    await beforeEach();
    for await (const [token] of generateSamples(model, [...prompt], 1, options)) {
      if (token! < 256) bytes.push(token!); // others are no bytes
      await beforeEach();
    }
    texts.push(textOf(Uint8Array.from(bytes)));
  }
  return texts;
}

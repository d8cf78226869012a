/**
 * Text out of a causal transformer, token by token.
 *
 * Legend: b batch, v vocabulary.
 *
 * @module
 */

import { setImmediate } from "node:timers/promises";
import { randomStream } from "../../prng.ts";
import { compile, type CompiledFunction, tf } from "../../tensorflow/mod.ts";
import {
  CHANGED_BY_SETTLING,
  CHANGED_BY_TOKEN,
  flattenCaches,
  isFull,
  type LayerCache,
  unflattenCaches,
} from "./cache.ts";
import { checkSampling, sampleToken, type Sampling } from "./sampling.ts";
import { type Decoded, decodeToken, distanceBiases, type Place, placeOf, prefill, settle } from "./step.ts";
import { idsTensor } from "../inputs.ts";
import type { FLASHTransformer } from "../models.ts";
import { type TransformerModel, transformerModel } from "../training.ts";

/** How a text is continued. */
export interface GenerateOptions extends Sampling {
  /** How many tokens at most. Default 256. */
  tokens?: number;
  /** Decides what is drawn; the same seed gives the same tokens. A whole number, default 0. */
  seed?: number;
  /** The text ends before this token, which is not given out. One in the prompt does not count. Default: none. */
  endToken?: number;
}

/**
 * Goes on with a prompt: the tokens after it, each as soon as it is known.
 *
 * The prompt is read in one pass; then a token costs the same at every position. The second token of a model's first
 * text takes a second more: what one token takes is compiled then.
 *
 * @param prompt token ids, at least one: a model predicts from what is before
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
 * Goes on with a prompt several times at once: per position the token of each sample, undefined for those that have ended.
 * Sample i draws numbers of its own, the same ones however many there are. Otherwise as {@linkcode generate}.
 *
 * @param samples how many
 */
export async function* generateSamples(
  model: FLASHTransformer,
  prompt: readonly number[],
  samples: number,
  options: GenerateOptions = {},
): AsyncGenerator<(number | undefined)[], void> {
  const { tokens = 256, seed = 0, endToken } = options;
  check(model, prompt, samples, options);
  const streams = Array.from({ length: samples }, (_, sample) => randomStream(seed, `generate ${sample}`));
  const ended = new Set<number>();
  using decoder = await Decoder.start(model, prompt, samples);
  for (let index = 0; index < tokens; index++) {
    await setImmediate(); // a token takes milliseconds, and timers and signals get their turn between two
    const logits = await decoder.logits();
    const chosen = streams.map(({ uniform }, row) => sampleToken(logits[row], options, uniform(index)));
    chosen.forEach((token, row) => token === endToken && ended.add(row));
    if (ended.size === samples) return;
    yield chosen.map((token, row) => ended.has(row) ? undefined : token);
    if (index < tokens - 1) await decoder.advance(chosen);
  }
}

/** Throws a RangeError that names the first thing that is wrong. */
function check(
  { options: { causal, numTokens } }: FLASHTransformer,
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

/** What decodes the tokens of a text. */
interface Compiled {
  /** Parameters, biases, ids, place, caches → logits, and per layer what a token changes of its cache. */
  token: CompiledFunction<tf.Tensor[], tf.Tensor[]>;
  /** Row, caches → per layer what settling changes of its cache. */
  settle: CompiledFunction<tf.Tensor[], tf.Tensor[]>;
}

/** What is compiled for each model, from its first text on: parameters and positions are inputs, so it stays valid. */
const compiled = new WeakMap<FLASHTransformer, Compiled>();
const collected = new FinalizationRegistry<Compiled>(({ token, settle }) => {
  token.dispose();
  settle.dispose();
});

function compiledFor(model: FLASHTransformer): Compiled {
  let functions = compiled.get(model);
  if (!functions) {
    functions = compileFor(transformerModel(model.options));
    compiled.set(model, functions);
    collected.register(model, functions);
  }
  return functions;
}

function compileFor(model: TransformerModel): Compiled {
  const { definition, options: { groupSize } } = model;
  const count = definition.specs.length;
  const token = (...inputs: tf.Tensor[]) => {
    const [biases, ids, sinusoid, cos, sin, row, ...flat] = inputs.slice(count);
    const place = { sinusoid, cos, sin, row } as Place;
    const tree = definition.tree(inputs.slice(0, count));
    const { logits, caches } = decodeToken(model, tree, biases, ids, place, unflattenCaches(flat));
    return [logits, ...caches.flatMap((cache) => CHANGED_BY_TOKEN.map((key) => cache[key]))];
  };
  const settleAll = (...[row, ...flat]: tf.Tensor[]) =>
    unflattenCaches(flat).flatMap((cache) => {
      const settled = settle(cache, row as tf.Tensor1D, groupSize);
      return CHANGED_BY_SETTLING.map((key) => settled[key]);
    });
  return { token: compile(token, { blocking: true }), settle: compile(settleAll, { blocking: true }) };
}

/** Reads a prompt: logits and caches for each sample. It runs once for this length: compiling would take longer. */
async function readPrompt(
  model: TransformerModel,
  parameters: tf.Tensor[],
  prompt: readonly number[],
  samples: number,
): Promise<Decoded> {
  const read = compile((ids: tf.Tensor) => {
    const { logits, caches } = prefill(model, model.definition.tree(parameters), ids);
    const repeated = (x: tf.Tensor) => tf.tile(x, [samples, ...x.shape.slice(1).map(() => 1)]);
    return [logits, ...flattenCaches(caches)].map(repeated);
  }, { path: "recorded" });
  const ids = idsTensor([[...prompt]], model.options.numTokens);
  try {
    const [logits, ...flat] = await read(ids);
    return { logits: logits as tf.Tensor2D, caches: unflattenCaches(flat) };
  } finally {
    ids.dispose();
    read.dispose();
  }
}

/** A text as far as it is, for some samples at once. */
class Decoder implements Disposable {
  readonly #model: TransformerModel;
  readonly #parameters: tf.Tensor[];
  readonly #biases: tf.Tensor;
  readonly #compiled: Compiled;
  #position: number;
  #logits: tf.Tensor2D;
  readonly #caches: LayerCache[];

  static async start(model: FLASHTransformer, prompt: readonly number[], samples: number): Promise<Decoder> {
    const inner = transformerModel(model.options, model.frequencies);
    const parameters = Object.values(model.parameters);
    const decoded = await readPrompt(inner, parameters, prompt, samples);
    return new Decoder(inner, parameters, compiledFor(model), prompt.length, decoded);
  }

  private constructor(
    model: TransformerModel,
    parameters: tf.Tensor[],
    compiled: Compiled,
    position: number,
    { logits, caches }: Decoded,
  ) {
    this.#model = model;
    this.#parameters = parameters;
    this.#biases = distanceBiases(model, model.definition.tree(parameters));
    this.#compiled = compiled;
    this.#position = position;
    this.#logits = logits;
    this.#caches = caches;
  }

  /** For the next token of each sample [b][v]. */
  async logits(): Promise<Float32Array[]> {
    const [b, v] = this.#logits.shape;
    const flat = await this.#logits.data<"float32">();
    return Array.from({ length: b }, (_, row) => flat.subarray(row * v, (row + 1) * v));
  }

  /** Takes the next token of each sample. */
  async advance(tokens: readonly number[]): Promise<void> {
    const ids = tf.tensor2d([...tokens], [tokens.length, 1], "int32");
    const { sinusoid, cos, sin, row } = placeOf(this.#model, this.#position);
    const running = this.#compiled.token(
      ...this.#parameters,
      ...[this.#biases, ids, sinusoid, cos, sin, row],
      ...flattenCaches(this.#caches),
    );
    tf.dispose([ids, sinusoid, cos, sin]);
    const [logits, ...next] = await running;
    this.#logits.dispose();
    this.#logits = logits as tf.Tensor2D;
    this.#replace(CHANGED_BY_TOKEN, next);
    const { groupSize } = this.#model.options;
    if (isFull(this.#position % groupSize, groupSize)) {
      this.#replace(
        CHANGED_BY_SETTLING,
        await this.#compiled.settle(row, ...flattenCaches(this.#caches)),
      );
    }
    row.dispose();
    this.#position++;
  }

  /** Puts new tensors, the same ones of each layer, into the caches and frees those that were there. */
  #replace(keys: readonly (keyof LayerCache)[], tensors: readonly tf.Tensor[]): void {
    this.#caches.forEach((cache, layer) =>
      keys.forEach((key, i) => {
        cache[key].dispose();
        cache[key] = tensors[keys.length * layer + i];
      })
    );
  }

  [Symbol.dispose](): void {
    tf.dispose([this.#logits, this.#biases, ...flattenCaches(this.#caches)]);
  }
}

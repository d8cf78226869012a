/**
 * Text generation with a causal transformer, token by token.
 *
 * Legend: b batch, v vocabulary.
 *
 * @module
 */

import { setImmediate } from "node:timers/promises";
import { randomStream } from "../../prng.ts";
import { compile, type CompiledFunction, type ExecutionPath, tf } from "../../tensorflow/mod.ts";
import {
  CHANGED_BY_FLUSH,
  CHANGED_BY_TOKEN,
  flattenCaches,
  isFull,
  type LayerCache,
  unflattenCaches,
} from "./cache.ts";
import { checkSampling, sampleToken, type Sampling } from "./sampling.ts";
import {
  type Decoded,
  decodeToken,
  distanceBiases,
  flushRecent,
  prefill,
  type TokenPosition,
  tokenPosition,
} from "./decoding.ts";
import { idsTensor } from "../inputs.ts";
import type { Frequencies } from "../frequencies.ts";
import type { FLASHTransformer } from "../models.ts";
import { pack, unpack } from "../named_inputs.ts";
import { type TransformerModel, transformerModel } from "../training.ts";

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

/** Inputs of the decoding of one token, by name, besides parameters and caches. */
interface TokenInputs extends TokenPosition {
  /** Of {@linkcode distanceBiases}. */
  biases: tf.Tensor;
  /** The token of each sample [b, 1], int32. */
  ids: tf.Tensor;
}

/** Their order. */
const TOKEN_INPUTS = ["biases", "ids", "sinusoid", "cos", "sin", "row"] as const;

/** The compiled functions that decode a text. */
interface Compiled {
  /** Parameters, {@linkcode TOKEN_INPUTS}, caches → logits, and of each layer's cache the fields that a token changes. */
  token: CompiledFunction<tf.Tensor[], tf.Tensor[]>;
  /** Row, caches → of each layer's cache the fields that flushing changes. */
  flush: CompiledFunction<tf.Tensor[], tf.Tensor[]>;
  /** Of the last prompt. */
  reader?: PromptReader;
}

/**
 * The compiled functions of each model, by its options, for each path that was asked for. Parameters and positions are inputs, so
 * they stay valid.
 */
const compiled = new WeakMap<FLASHTransformer["options"], Map<ExecutionPath, Compiled>>();
const collected = new FinalizationRegistry<Compiled>(({ token, flush, reader }) => {
  token.dispose();
  flush.dispose();
  reader?.read.dispose();
});

function compiledFor(options: FLASHTransformer["options"], path: ExecutionPath): Compiled {
  const byPath = compiled.get(options) ?? new Map<ExecutionPath, Compiled>();
  compiled.set(options, byPath);
  let functions = byPath.get(path);
  if (!functions) {
    functions = compileFor(transformerModel(options), path);
    byPath.set(path, functions);
    collected.register(options, functions);
  }
  return functions;
}

function compileFor(model: TransformerModel, path: ExecutionPath): Compiled {
  const { definition, options: { groupSize } } = model;
  const count = definition.specs.length;
  const token = (...inputs: tf.Tensor[]) => {
    const tree = definition.tree(inputs.slice(0, count)), rest = inputs.slice(count);
    const { biases, ids, ...position } = unpack<TokenInputs>(TOKEN_INPUTS, rest);
    const before = unflattenCaches(rest.slice(TOKEN_INPUTS.length));
    const { logits, caches } = decodeToken(model, tree, biases, ids, position, before);
    return [logits, ...caches.flatMap((cache) => CHANGED_BY_TOKEN.map((key) => cache[key]))];
  };
  const flush = (...[row, ...flat]: tf.Tensor[]) =>
    unflattenCaches(flat).flatMap((cache) => {
      const flushed = flushRecent(cache, row as tf.Tensor1D, groupSize);
      return CHANGED_BY_FLUSH.map((key) => flushed[key]);
    });
  const options = { path, blocking: true };
  return { token: compile(token, options), flush: compile(flush, options) };
}

/** Reads prompts of one length. */
interface PromptReader {
  /** What it is recorded for. */
  readonly key: readonly [length: number, samples: number, frequencies: Frequencies];
  /** Parameters, ids → logits and caches for each sample. */
  readonly read: CompiledFunction<tf.Tensor[], tf.Tensor[]>;
}

/** For prompts like the last one. Not compiled, which would take longer: few lengths come often. */
function readerFor(
  compiled: Compiled,
  model: TransformerModel,
  length: number,
  samples: number,
): PromptReader {
  const key = [length, samples, model.frequencies] as const;
  if (compiled.reader?.key.every((value, i) => value === key[i])) return compiled.reader;
  compiled.reader?.read.dispose();
  const read = compile((...inputs: tf.Tensor[]) => {
    const ids = inputs.pop()!;
    const { logits, caches } = prefill(model, model.definition.tree(inputs), ids);
    const repeated = (x: tf.Tensor) => tf.tile(x, [samples, ...x.shape.slice(1).map(() => 1)]);
    return [logits, ...flattenCaches(caches)].map(repeated);
  }, { path: "recorded" });
  return compiled.reader = { key, read };
}

/** Reads a prompt: logits and caches for each sample. */
async function readPrompt(
  { read }: PromptReader,
  model: TransformerModel,
  parameters: tf.Tensor[],
  prompt: readonly number[],
): Promise<Decoded> {
  const ids = idsTensor([[...prompt]], model.options.numTokens);
  try {
    const [logits, ...flat] = await read(...parameters, ids);
    return { logits: logits as tf.Tensor2D, caches: unflattenCaches(flat) };
  } finally {
    ids.dispose();
  }
}

/** The state of decoding: caches and next logits of all samples. */
class Decoder implements Disposable {
  readonly #model: TransformerModel;
  readonly #parameters: tf.Tensor[];
  readonly #biases: tf.Tensor;
  readonly #compiled: Compiled;
  #position: number;
  #logits: tf.Tensor2D;
  readonly #caches: LayerCache[];

  static async start(
    model: Pick<FLASHTransformer, "options" | "frequencies" | "parameters">,
    prompt: readonly number[],
    samples: number,
    path: ExecutionPath,
  ): Promise<Decoder> {
    const inner = transformerModel(model.options, model.frequencies);
    const parameters = Object.values(model.parameters);
    const compiled = compiledFor(model.options, path);
    const reader = readerFor(compiled, inner, prompt.length, samples);
    const decoded = await readPrompt(reader, inner, parameters, prompt);
    return new Decoder(inner, parameters, compiled, prompt.length, decoded);
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

  /** The logits for the next token of each sample [b][v]. */
  async logits(): Promise<Float32Array[]> {
    const [b, v] = this.#logits.shape;
    const flat = await this.#logits.data<"float32">();
    return Array.from({ length: b }, (_, row) => flat.subarray(row * v, (row + 1) * v));
  }

  /** Appends the next token of each sample. */
  async advance(tokens: readonly number[]): Promise<void> {
    const ids = tf.tensor2d([...tokens], [tokens.length, 1], "int32");
    const position = tokenPosition(this.#model, this.#position);
    const { row, ...others } = position;
    const running = this.#compiled.token(
      ...this.#parameters,
      ...pack<TokenInputs>(TOKEN_INPUTS, { biases: this.#biases, ids, ...position }),
      ...flattenCaches(this.#caches),
    );
    tf.dispose([ids, others]);
    const [logits, ...next] = await running;
    this.#logits.dispose();
    this.#logits = logits as tf.Tensor2D;
    this.#replace(CHANGED_BY_TOKEN, next);
    const { groupSize } = this.#model.options;
    if (isFull(this.#position % groupSize, groupSize)) {
      this.#replace(
        CHANGED_BY_FLUSH,
        await this.#compiled.flush(row, ...flattenCaches(this.#caches)),
      );
    }
    row.dispose();
    this.#position++;
  }

  /** Replaces the same fields in each layer's cache, and frees the old tensors. */
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

/**
 * The functions that decode a text, as they are compiled and kept for the next text of a model.
 *
 * Legend: b batch.
 *
 * @module
 */

import { compile, type CompiledFunction, type ExecutionPath, tf } from "../../tensorflow/mod.ts";
import { CHANGED_BY_FLUSH, CHANGED_BY_TOKEN, flattenCaches, unflattenCaches } from "./cache.ts";
import { type Decoded, decodeToken, flushRecent, prefill, type TokenPosition } from "./decoding.ts";
import { idsTensor } from "../inputs.ts";
import type { Frequencies } from "../frequencies.ts";
import type { FLASHTransformer } from "../models.ts";
import { unpack } from "../named_inputs.ts";
import { type TransformerModel, transformerModel } from "../training.ts";

/** Inputs of the decoding of one token, by name, besides parameters and caches. */
export interface TokenInputs extends TokenPosition {
  /** Of {@linkcode distanceBiases}. */
  biases: tf.Tensor;
  /** The token of each sample [b, 1], int32. */
  ids: tf.Tensor;
}

/** Their order. */
export const TOKEN_INPUTS = ["biases", "ids", "sinusoid", "cos", "sin", "row"] as const;

/** The compiled functions that decode a text. */
export interface Compiled {
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

/** The functions of a model; they are compiled for the first text. */
export function compiledFor(options: FLASHTransformer["options"], path: ExecutionPath): Compiled {
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
export interface PromptReader {
  /** What it is recorded for. */
  readonly key: readonly [length: number, samples: number, frequencies: Frequencies];
  /** Parameters, ids → logits and caches for each sample. */
  readonly read: CompiledFunction<tf.Tensor[], tf.Tensor[]>;
}

/** For prompts like the last one. Not compiled, which would take longer: few lengths come often. */
export function readerFor(
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
export async function readPrompt(
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

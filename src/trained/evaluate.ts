/**
 * The loss of a trained model on a text: every byte is predicted once, with as much context as the model was trained with.
 *
 * Legend: b windows at once, n tokens of a window.
 *
 * @module
 */

import { countTokens } from "../model/loss.ts";
import type { FLASHTransformer } from "../model/mod.ts";
import { lossSum, transformerModel } from "../model/training.ts";
import { compile, tf } from "../tensorflow/mod.ts";

/** Means over the predicted tokens of a text: all but the first. */
export interface Evaluation {
  /** Nats per token. */
  loss: number;
  /** The same in bits; a token is a byte. */
  bitsPerByte: number;
  /** Exponential of the loss. */
  perplexity: number;
  /** Number of predicted tokens. */
  tokens: number;
}

/** How a text is evaluated. */
export interface EvaluateOptions {
  /** Tokens of a window. */
  context: number;
  /** Ends it early; the result is that of the text so far. */
  signal?: AbortSignal;
  /** Called with the number of tokens predicted so far. */
  onProgress?: (tokens: number) => void;
}

/** A window, in which the labels from `from` on are counted. */
export interface Window {
  /** Index of its first token. */
  start: number;
  /** Labels before this one were counted in the window before. */
  from: number;
}

/** Number of tokens evaluated at once, in windows that are shorter. */
const AT_ONCE = 8192;

/**
 * Windows of `context` tokens with a stride of half of it. Each token is counted once and, after the first window, has at least
 * half a window of context.
 */
export function evaluationWindows(length: number, context: number): Window[] {
  const stride = Math.ceil(context / 2);
  const windows: Window[] = [{ start: 0, from: 0 }];
  for (let counted = context; counted < length - 1; counted += stride) {
    const start = counted + stride - context;
    windows.push({ start, from: counted - start });
  }
  return windows;
}

/**
 * Evaluates a model on a text.
 *
 * @param text tokens, at least two
 * @throws {RangeError} when the text is too short, the context too, or the model is not causal: it sees what it predicts
 *
 * @example
 * ```ts
 * import { evaluate } from "./evaluate.ts";
 * import { FLASHTransformer } from "../model/mod.ts";
 * import { initBackend } from "../tensorflow/mod.ts";
 * await initBackend({ backend: "cpu" });
 * const model = new FLASHTransformer({ numTokens: 256, dim: 16, depth: 1, causal: true, groupSize: 4 }, { seed: 1 });
 * const { tokens, loss } = await evaluate(model, new TextEncoder().encode("to be or not to be"), { context: 8 });
 * console.assert(tokens === 17 && loss > 3);
 * ```
 */
export async function evaluate(
  model: FLASHTransformer,
  text: Uint8Array,
  { context, signal, onProgress }: EvaluateOptions,
): Promise<Evaluation> {
  if (!model.options.causal) {
    throw new RangeError("Only a causal model can be evaluated: this one sees what follows.");
  }
  if (text.length < 2) throw new RangeError(`A text of ${text.length} bytes has nothing to predict.`);
  if (!Number.isSafeInteger(context) || context < 2) {
    throw new RangeError(`context is ${context}; it must be a whole number from 2 up.`);
  }
  const inner = transformerModel(model.options, model.frequencies);
  const parameters = Object.values(model.parameters);
  const sums = compile((ids: tf.Tensor, labels: tf.Tensor) => ({
    lossSum: lossSum(inner, parameters, { ids, labels }),
    tokens: countTokens(labels),
  }));
  const windows = evaluationWindows(text.length, Math.min(context, text.length - 1));
  const n = Math.min(context, text.length - 1);
  const b = Math.min(windows.length, Math.max(1, Math.floor(AT_ONCE / n)));
  let loss = 0, tokens = 0;
  for (let first = 0; first < windows.length && !signal?.aborted; first += b) {
    const batch = batchOf(text, windows.slice(first, first + b), b, n);
    const found = await sums(batch.ids, batch.labels);
    loss += (await found.lossSum.data())[0];
    tokens += (await found.tokens.data())[0];
    tf.dispose([found, batch]);
    onProgress?.(tokens);
  }
  sums.dispose();
  loss /= tokens;
  return { loss, bitsPerByte: loss / Math.LN2, perplexity: Math.exp(loss), tokens };
}

/** Windows as tensors [b, n]. Positions beyond the text, and rows without a window, are zeros that don't count. */
function batchOf(text: Uint8Array, windows: readonly Window[], b: number, n: number) {
  const ids = new Int32Array(b * n);
  const labels = new Int32Array(b * n).fill(-1);
  windows.forEach(({ start, from }, row) => {
    ids.set(text.subarray(start, start + n), row * n);
    labels.set(text.subarray(start + from + 1, start + n + 1), row * n + from);
  });
  return { ids: tf.tensor2d(ids, [b, n], "int32"), labels: tf.tensor2d(labels, [b, n], "int32") };
}

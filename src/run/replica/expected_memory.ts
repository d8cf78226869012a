/**
 * How much memory a process that computes will take.
 *
 * @module
 */

import type { RunConfig } from "../../config/config.ts";
import { hiddenDim, resolveTransformer } from "../../model/options.ts";

/** Deno, tfjs, TensorFlow's library, and what XLA takes while it compiles a step for the first time. */
const BASE = 628e6;
/** Parameters, two moments, gradient, sums, mean, and copies for the optimizer's step, a checkpoint and the wire. */
const VECTORS = 13;
const FLOAT_BYTES = 4;

/** Sizes besides the model's. */
export interface MemorySizes {
  /** Number of parameters. */
  parameters: number;
  /** Tokens of a micro-batch. */
  tokens: number;
  /** Bytes of the text. */
  text: number;
}

/**
 * Peak resident memory expected of a worker, or of a run in one process, in bytes. The formula was fitted to the peaks (VmHWM) of
 * the worker of `deno task train --workers 1 --steps 3` on a processor with an empty cache of compiled steps, and is within 7 % of
 * them: 0.5 million parameters with 1,024 and 4,096 tokens at once 0.75 and 0.94 GB, 1.8 million with 256 tokens 0.76 GB, 13.4 million
 * with 256, 1,024 and 2,048 tokens 1.39, 1.70 and 2.05 GB, 44 million with 512 tokens 3.42 GB. With the step in the cache the default
 * run takes 0.59 GB. A state transfer, averaged parameters and a GPU are not in it.
 */
export function expectedMemory(model: RunConfig["model"], { parameters, tokens, text }: MemorySizes): number {
  const { dim: d, queryKeyDim: s, groupSize: c, depth } = model;
  const e = hiddenDim(resolveTransformer(model));
  const activations = depth * (8 * e + 4 * d + 12 * s + 4 * c); // of a token, kept for the backward pass
  return Math.round(BASE + text + FLOAT_BYTES * (VECTORS * parameters + tokens * activations));
}

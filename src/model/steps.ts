/**
 * The three functions that a replica runs at every step, each compiled at its first call for the shapes of its inputs.
 *
 * @module
 */

import { compile, type ExecutionPath, type tf } from "../tensorflow/mod.ts";
import { applyStep, type OptimizerOptions, type OptimizerState } from "./optimizer.ts";
import { type Batch, evalStep, gradStep, type LossSums, type TransformerModel } from "./training.ts";

/** A replica's functions; results belong to the caller, inputs may be disposed once a call has returned its promise. */
export interface Steps {
  /** Loss sum and gradient of a micro-batch ({@linkcode gradStep}). */
  gradient(
    params: tf.Tensor1D,
    batch: Batch,
    seed?: tf.Tensor1D,
  ): Promise<LossSums & { gradient: tf.Tensor1D }>;
  /** Loss sum of a micro-batch ({@linkcode evalStep}). */
  evaluate(params: tf.Tensor1D, batch: Batch): Promise<LossSums>;
  /** One update of the optimizer ({@linkcode applyStep}). */
  apply(state: OptimizerState, mean: tf.Tensor1D, scalars: tf.Tensor1D): Promise<OptimizerState>;
  /** How the gradient is computed, a part of the numerics fingerprint; undefined before the first call. */
  readonly path: ExecutionPath | undefined;
  /** Why it is not compiled. */
  readonly reason: string | undefined;
  /** Frees what was recorded and compiled. */
  dispose(): void;
}

/** Compiled functions take tensors by place: a batch, and the seed of the dropout behind it, as a list of tensors. */
const listed = ({ ids, labels, mask }: Batch, seed?: tf.Tensor1D): tf.Tensor[] =>
  [ids, labels, mask, seed].filter((tensor) => tensor !== undefined);

/**
 * The functions of a model.
 *
 * @param masked whether batches have a mask
 */
export function compileSteps(model: TransformerModel, optimizer: OptimizerOptions, masked: boolean): Steps {
  const batchOf = ([ids, labels, ...others]: tf.Tensor[]): [Batch, tf.Tensor1D | undefined] => {
    const mask = masked ? others.shift() : undefined;
    return [{ ids, labels, mask }, others[0] as tf.Tensor1D | undefined];
  };
  const gradient = compile((params: tf.Tensor1D, ...inputs: tf.Tensor[]) => ({
    ...gradStep(model, params, ...batchOf(inputs)),
  }));
  const evaluate = compile((params: tf.Tensor1D, ...inputs: tf.Tensor[]) => ({
    ...evalStep(model, params, batchOf(inputs)[0]),
  }));
  const apply = compile((...[params, m, v, mean, scalars]: tf.Tensor1D[]) => ({
    ...applyStep({ params, m, v }, mean, scalars, optimizer, model.definition),
  }));
  return {
    gradient: (params, batch, seed) => gradient(params, ...listed(batch, seed)),
    evaluate: (params, batch) => evaluate(params, ...listed(batch)),
    apply: ({ params, m, v }, mean, scalars) => apply(params, m, v, mean, scalars),
    get path() {
      return gradient.path;
    },
    get reason() {
      return gradient.reason;
    },
    dispose: () => [gradient, evaluate, apply].forEach((one) => one.dispose()),
  };
}

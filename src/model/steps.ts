/**
 * The three functions that a replica runs at every step, each compiled at its first call for the shapes of its inputs.
 *
 * @module
 */

import { compile, type CompiledFunction, type Results, tf } from "../tensorflow/mod.ts";
import { applyOnHost } from "./optimizer/host_optimizer.ts";
import { applyStep, type OptimizerOptions, type OptimizerState } from "./optimizer/optimizer.ts";
import {
  type Batch,
  evalStep,
  gradStep,
  isSmall,
  type LossSums,
  smallParameters,
  type TransformerModel,
} from "./training.ts";

/** A replica's functions; results belong to the caller, inputs may be disposed once a call has returned its promise. */
export interface Steps {
  /** Loss sum and gradient of a micro-batch ({@linkcode gradStep}); seed [2], int32, is that of the dropout. */
  gradient(
    params: tf.Tensor1D,
    batch: Batch,
    seed: tf.Tensor1D,
  ): Promise<LossSums & { gradient: tf.Tensor1D }>;
  /** Loss sum of a micro-batch ({@linkcode evalStep}). */
  evaluate(params: tf.Tensor1D, batch: Batch): Promise<LossSums>;
  /** One update of the optimizer ({@linkcode applyStep}). The state given is disposed, and its memory used again. */
  apply(state: OptimizerState, mean: tf.Tensor1D, scalars: tf.Tensor1D): Promise<OptimizerState>;
  /** How the functions run, a part of the numerics fingerprint: "compiled", or each where they differ. Known once all have run. */
  readonly path: string;
  /** Why not all of them are compiled, where that is so. */
  readonly reason: string | undefined;
  /** Frees what was recorded and compiled. */
  dispose(): void;
}

/** Compiled functions take tensors by place: the mask, which not every batch has, comes last. */
const listed = ({ ids, labels, mask }: Batch): tf.Tensor[] => mask ? [ids, labels, mask] : [ids, labels];

/**
 * The functions of a model.
 *
 * @param onHost whether the optimizer runs in plain JavaScript, with the same bits on every machine
 */
export function compileSteps(model: TransformerModel, optimizer: OptimizerOptions, onHost: boolean): Steps {
  const { layout } = model.definition;
  const count = layout.entries.filter(isSmall).length;
  const cutSmall = compile((params: tf.Tensor) => smallParameters(layout, params as tf.Tensor1D), {
    path: "recorded", // what is only copied has the same bits on every path
    blocking: true,
  });
  const gradient = compile((...inputs: tf.Tensor[]) => {
    const small = inputs.slice(0, count), [params, seed, ids, labels, mask] = inputs.slice(count);
    return {
      ...gradStep(model, params as tf.Tensor1D, { ids, labels, mask }, seed as tf.Tensor1D, small),
    };
  });
  const evaluate = compile((...inputs: tf.Tensor[]) => {
    const small = inputs.slice(0, count), [params, ids, labels, mask] = inputs.slice(count);
    return { ...evalStep(model, params as tf.Tensor1D, { ids, labels, mask }, small) };
  });
  /** Calls one of the two: the small parameters come before its other inputs, whose first is the flat vector. */
  const withSmall = async <Result extends Results>(
    run: CompiledFunction<tf.Tensor[], Result>,
    inputs: tf.Tensor[],
  ): Promise<Result> => {
    const held = inputs.map((input) => input.clone()); // the caller may dispose them while the small ones are cut
    try {
      const small = await cutSmall(inputs[0]);
      held.push(...small);
      return await run(...small, ...held.slice(0, inputs.length));
    } finally {
      tf.dispose(held);
    }
  };
  const apply = compile((...[params, m, v, mean, scalars]: tf.Tensor1D[]) => ({
    ...applyStep({ params, m, v }, mean, scalars, optimizer, model.definition),
  }), { donate: [0, 1, 2] });
  const all = onHost ? [gradient, evaluate] : [gradient, evaluate, apply];
  return {
    gradient: (params, batch, seed) => withSmall(gradient, [params, seed, ...listed(batch)]),
    evaluate: (params, batch) => withSmall(evaluate, [params, ...listed(batch)]),
    apply: (state, mean, scalars) =>
      onHost
        ? Promise.resolve(applyTensorsOnHost(state, mean, scalars, optimizer, model))
        : apply(state.params, state.m, state.v, mean, scalars),
    get path() {
      const paths = all.map(({ path }) => path ?? "not run yet");
      return paths.every((path) => path === paths[0]) ? paths[0] : paths.join(" ");
    },
    get reason() {
      return all.find(({ reason }) => reason !== undefined)?.reason;
    },
    dispose: () => [cutSmall, ...all].forEach((one) => one.dispose()),
  };
}

/** Reads the state, updates it in plain JavaScript, and gives new tensors of it. */
function applyTensorsOnHost(
  { params, m, v }: OptimizerState,
  mean: tf.Tensor1D,
  scalars: tf.Tensor1D,
  options: OptimizerOptions,
  { definition }: TransformerModel,
): OptimizerState {
  const read = (tensor: tf.Tensor1D) => tensor.dataSync<"float32">();
  const state = { params: read(params), m: read(m), v: read(v) };
  const next = applyOnHost(state, read(mean), read(scalars), options, definition);
  tf.dispose([params, m, v]);
  return { params: tf.tensor1d(next.params), m: tf.tensor1d(next.m), v: tf.tensor1d(next.v) };
}

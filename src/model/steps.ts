/**
 * The three functions that a replica runs at every step: gradient, evaluation and optimizer. Each is compiled at its first call
 * for the shapes of its inputs.
 *
 * @module
 */

import { compile, type CompiledFunction, type Results, tf } from "../tensorflow/mod.ts";
import { applyOnHost } from "./optimizer/host_optimizer.ts";
import { applyStep, type OptimizerOptions, type OptimizerState } from "./optimizer/optimizer.ts";
import { pack, unpack } from "./named_inputs.ts";
import {
  type Batch,
  evalStep,
  gradStep,
  isSmall,
  type LossSums,
  smallParameters,
  type TransformerModel,
} from "./training.ts";

/** The compiled functions. Results belong to the caller; inputs may be disposed as soon as a call has returned its promise. */
export interface Steps {
  /** Loss sum and gradient of a micro-batch ({@linkcode gradStep}); `seed` [2], int32, is for dropout. */
  gradient(
    params: tf.Tensor1D,
    batch: Batch,
    seed: tf.Tensor1D,
  ): Promise<LossSums & { gradient: tf.Tensor1D }>;
  /** Loss sum of a micro-batch ({@linkcode evalStep}). */
  evaluate(params: tf.Tensor1D, batch: Batch): Promise<LossSums>;
  /** One update of the optimizer ({@linkcode applyStep}). The given state is disposed, and its memory reused. */
  apply(state: OptimizerState, mean: tf.Tensor1D, scalars: tf.Tensor1D): Promise<OptimizerState>;
  /** How the functions run, e.g. "compiled"; one word each where they differ. A part of the numerics fingerprint. Known once all have run. */
  readonly path: string;
  /** Why a function is not compiled; undefined where all are. */
  readonly reason: string | undefined;
  /** Frees the recorded and compiled functions. */
  dispose(): void;
}

/** Inputs of the evaluation by name, besides the small parameters. */
interface EvaluationInputs extends Batch {
  params: tf.Tensor1D;
}

/** Inputs of the gradient. */
interface GradientInputs extends EvaluationInputs {
  seed: tf.Tensor1D;
}

/** Inputs of the optimizer. */
interface ApplyInputs extends OptimizerState {
  mean: tf.Tensor1D;
  scalars: tf.Tensor1D;
}

/** The orders of these inputs. The mask, which not every batch has, comes last. */
const EVALUATION_INPUTS = ["params", "ids", "labels", "mask"] as const;
const GRADIENT_INPUTS = ["params", "seed", "ids", "labels", "mask"] as const;
const APPLY_INPUTS = ["params", "m", "v", "mean", "scalars"] as const;
/** The optimizer's state is updated in place: its memory is that of the new state. */
const DONATED = ["params", "m", "v"] as const;

/**
 * The functions of a model.
 *
 * @param onHost whether the optimizer runs in plain JavaScript, with the same bits on every machine
 */
export function compileSteps(model: TransformerModel, optimizer: OptimizerOptions, onHost: boolean): Steps {
  const { layout } = model.definition;
  const count = layout.entries.filter(isSmall).length;
  const cutSmall = compile((params: tf.Tensor) => smallParameters(layout, params as tf.Tensor1D), {
    path: "recorded", // copies have the same bits on every path
    blocking: true,
  });
  const gradient = compile((...inputs: tf.Tensor[]) => {
    const small = inputs.slice(0, count);
    const { params, seed, ...batch } = unpack<GradientInputs>(GRADIENT_INPUTS, inputs.slice(count));
    return { ...gradStep(model, params, batch, seed, small) };
  });
  const evaluate = compile((...inputs: tf.Tensor[]) => {
    const small = inputs.slice(0, count);
    const { params, ...batch } = unpack<EvaluationInputs>(EVALUATION_INPUTS, inputs.slice(count));
    return { ...evalStep(model, params, batch, small) };
  });
  /** Calls one of the two: the small parameters come before its other inputs, the first of which is the flat vector. */
  const withSmall = async <Result extends Results>(
    run: CompiledFunction<tf.Tensor[], Result>,
    inputs: tf.Tensor[],
  ): Promise<Result> => {
    const clones = inputs.map((input) => input.clone()); // the caller may dispose them while the small ones are cut
    const held = [...clones];
    try {
      const small = await cutSmall(inputs[0]);
      held.push(...small);
      return await run(...small, ...clones);
    } finally {
      tf.dispose(held);
    }
  };
  const apply = compile((...inputs: tf.Tensor[]) => {
    const { mean, scalars, ...state } = unpack<ApplyInputs>(APPLY_INPUTS, inputs);
    return { ...applyStep(state, mean, scalars, optimizer, model.definition) };
  }, { donate: DONATED.map((name) => APPLY_INPUTS.indexOf(name)) });
  const all = onHost ? [gradient, evaluate] : [gradient, evaluate, apply];
  return {
    gradient: (params, batch, seed) =>
      withSmall(gradient, pack<GradientInputs>(GRADIENT_INPUTS, { params, seed, ...batch })),
    evaluate: (params, batch) =>
      withSmall(evaluate, pack<EvaluationInputs>(EVALUATION_INPUTS, { params, ...batch })),
    apply: (state, mean, scalars) =>
      onHost
        ? Promise.resolve(applyTensorsOnHost(state, mean, scalars, optimizer, model))
        : apply(...pack<ApplyInputs>(APPLY_INPUTS, { ...state, mean, scalars })),
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

/** Reads the state, updates it in plain JavaScript, and returns new tensors. */
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

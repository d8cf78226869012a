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

/** Inputs of the gradient and of the evaluation, by name. */
interface StepInputs extends Batch {
  params: tf.Tensor1D;
  seed?: tf.Tensor1D;
}

/** Compiled functions take tensors by position: these are the orders. The mask, which not every batch has, comes last. */
const GRADIENT_INPUTS = ["params", "seed", "ids", "labels", "mask"] as const;
const EVALUATION_INPUTS = ["params", "ids", "labels", "mask"] as const;

type InputNames = readonly (keyof StepInputs)[];

/** The inputs in the order of their names, without those that are missing. */
const pack = (names: InputNames, inputs: StepInputs): tf.Tensor[] =>
  names.flatMap((name) => inputs[name] ?? []);

/** The inputs by name again. */
const unpack = (names: InputNames, tensors: tf.Tensor[]): StepInputs =>
  Object.fromEntries(names.map((name, i) => [name, tensors[i]])) as unknown as StepInputs;

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
    const small = inputs.slice(0, count),
      { params, seed, ...batch } = unpack(GRADIENT_INPUTS, inputs.slice(count));
    return { ...gradStep(model, params, batch, seed, small) };
  });
  const evaluate = compile((...inputs: tf.Tensor[]) => {
    const small = inputs.slice(0, count),
      { params, ...batch } = unpack(EVALUATION_INPUTS, inputs.slice(count));
    return { ...evalStep(model, params, batch, small) };
  });
  /** Calls one of the two: the small parameters come before its named inputs. */
  const withSmall = async <Result extends Results>(
    run: CompiledFunction<tf.Tensor[], Result>,
    names: InputNames,
    inputs: StepInputs,
  ): Promise<Result> => {
    const named = pack(names, inputs).map((input) => input.clone()); // the caller may dispose them while the small ones are cut
    const held = [...named];
    try {
      const small = await cutSmall(inputs.params);
      held.push(...small);
      return await run(...small, ...named);
    } finally {
      tf.dispose(held);
    }
  };
  const apply = compile((...[params, m, v, mean, scalars]: tf.Tensor1D[]) => ({
    ...applyStep({ params, m, v }, mean, scalars, optimizer, model.definition),
  }), { donate: [0, 1, 2] });
  const all = onHost ? [gradient, evaluate] : [gradient, evaluate, apply];
  return {
    gradient: (params, batch, seed) => withSmall(gradient, GRADIENT_INPUTS, { params, seed, ...batch }),
    evaluate: (params, batch) => withSmall(evaluate, EVALUATION_INPUTS, { params, ...batch }),
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

/**
 * Gradient and evaluation of a transformer: functions of one flat parameter vector and a micro-batch. They read no values of
 * tensors, so that each can be recorded once and compiled.
 *
 * Legend: b batch, n sequence, P parameters.
 *
 * @module
 */

import type { Layout, LayoutEntry } from "../layout.ts";
import { tf } from "../tensorflow/mod.ts";
import { countTokens, crossEntropySum } from "./loss.ts";
import type { FLASHTransformerOptions } from "./options.ts";
import { defineTransformer, type Definition, type TransformerParameters } from "./parameters.ts";
import type { Frequencies } from "./frequencies.ts";
import { transformer } from "./transformer.ts";

/** A transformer without its parameters' values. */
export interface TransformerModel {
  /** Its options, resolved. */
  readonly options: Required<FLASHTransformerOptions>;
  /** Its parameters. */
  readonly definition: Definition<TransformerParameters<tf.Tensor>>;
  /** Its positions: those of a loaded state dict, or the definition's. */
  readonly frequencies: Frequencies;
}

/** A transformer with the frequencies of a new model, or with given ones. */
export function transformerModel(
  options: Required<FLASHTransformerOptions>,
  frequencies?: Frequencies,
): TransformerModel {
  const definition = defineTransformer(options);
  return { options, definition, frequencies: frequencies ?? definition.frequencies };
}

/** Sequences and the labels to predict. */
export interface Batch {
  /** [b, n], int32 */
  ids: tf.Tensor;
  /** [b, n], int32; −1 is not counted. */
  labels: tf.Tensor;
  /** [b, n], true or 1 for the tokens that others may see. */
  mask?: tf.Tensor;
}

/** Sum of the losses in nats and number of the counted tokens. */
export interface LossSums {
  /** Scalar, float32. */
  lossSum: tf.Scalar;
  /** Scalar, int32. */
  tokens: tf.Scalar;
}

/** Size of the largest parameter that counts as small: biases, scales and the like do, the weights of linear maps don't. */
const SMALL = 4096;

/**
 * The small parameters, cut out of the flat vector. With these as separate inputs, the code of all layers is the same and XLA
 * compiles it once; code that reads them from the flat vector contains their offsets, which differ from layer to layer.
 *
 * @param params [P]
 */
export function smallParameters(layout: Layout, params: tf.Tensor1D): tf.Tensor[] {
  return layout.entries.filter(isSmall).map((entry) => cut(params, entry));
}

/** Whether a parameter is small. */
export function isSmall({ size }: LayoutEntry): boolean {
  return size <= SMALL;
}

/** One tensor per parameter, cut out of the flat vector; the small ones as given. */
export function unflatten(
  layout: Layout,
  params: tf.Tensor1D,
  small: readonly tf.Tensor[] = smallParameters(layout, params),
): tf.Tensor[] {
  const rest = small.values();
  return layout.entries.map((entry) => isSmall(entry) ? rest.next().value! : cut(params, entry));
}

/** One parameter. */
function cut(params: tf.Tensor1D, { offset, size, shape }: LayoutEntry): tf.Tensor {
  return tf.reshape(tf.slice(params, offset, size), [...shape]);
}

/** Loss sum of a batch from one tensor per parameter. */
export function lossSum(
  { options, definition, frequencies }: TransformerModel,
  parameters: readonly tf.Tensor[],
  { ids, labels, mask }: Batch,
  seed?: tf.Tensor1D,
): tf.Scalar {
  const logits = transformer(definition.tree(parameters), ids, options, frequencies, { mask, seed });
  return crossEntropySum(logits, labels);
}

/** Loss sum of a batch and its gradient for each parameter. */
export function lossSumAndGradients(
  model: TransformerModel,
  parameters: tf.Tensor[],
  batch: Batch,
  seed?: tf.Tensor1D,
): { lossSum: tf.Scalar; gradients: tf.Tensor[] } {
  const withGradients = tf.valueAndGrads((...parameters: tf.Tensor[]) =>
    lossSum(model, parameters, batch, seed)
  );
  const { value, grads } = withGradients(parameters);
  return { lossSum: value as tf.Scalar, gradients: grads };
}

/**
 * Loss sum of a micro-batch and its gradient for the flat vector, of the same length: sums over counted tokens, which add up
 * over micro-batches.
 *
 * Plain: grad(lossSum ∘ unflatten)(params). Here: the vector is cut before differentiation and the gradients are joined after
 * it, because the gradient of each cut would be a vector of full length.
 *
 * @param params [P], possibly padded with zeros
 * @param seed of the dropout [2], int32; without it nothing is dropped
 * @param small of {@linkcode smallParameters}; cut here where not given
 */
export function gradStep(
  model: TransformerModel,
  params: tf.Tensor1D,
  batch: Batch,
  seed?: tf.Tensor1D,
  small?: readonly tf.Tensor[],
): LossSums & { gradient: tf.Tensor1D } {
  return tf.tidy(() => {
    const parameters = unflatten(model.definition.layout, params, small);
    const { lossSum, gradients } = lossSumAndGradients(model, parameters, batch, seed);
    const rest = tf.zeros([params.size - model.definition.layout.size]);
    const all = [...gradients.map((one) => tf.reshape(one, [-1])), ...(rest.size > 0 ? [rest] : [])];
    return { lossSum, tokens: countTokens(batch.labels), gradient: tf.concat(all) as tf.Tensor1D };
  });
}

/**
 * Loss sum of a micro-batch without dropout.
 *
 * @param params [P], possibly padded with zeros
 * @param small of {@linkcode smallParameters}; cut here where not given
 */
export function evalStep(
  model: TransformerModel,
  params: tf.Tensor1D,
  batch: Batch,
  small?: readonly tf.Tensor[],
): LossSums {
  return tf.tidy(() => ({
    lossSum: lossSum(model, unflatten(model.definition.layout, params, small), batch),
    tokens: countTokens(batch.labels),
  }));
}

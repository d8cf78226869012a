/**
 * The base class of the public classes: parameters by name, state dicts, disposing.
 *
 * @module
 */

import type { Layout } from "../layout.ts";
import type { Dtype, FlatTensor } from "../safetensors.ts";
import { tf } from "../tensorflow/mod.ts";
import { type Definition, initialParameters } from "./parameters.ts";
import type { Frequencies } from "./frequencies.ts";
import { fromStateDict } from "./state_dict.ts";

const DTYPES: Record<string, Dtype> = { float32: "F32", int32: "I32", bool: "BOOL" };

/** Tensors by their names in the state dict. */
export type NamedTensors = Record<string, tf.Tensor>;

/** A model with its parameters, whose tensors it owns until `dispose`. */
export abstract class Module<Tree> {
  readonly #definition: Definition<Tree>;
  #tensors: tf.Tensor[] = [];
  #frequencies: Frequencies;

  /**
   * Draws the first values of the parameters.
   *
   * @param definition its parameters
   * @param seed of their first values, a whole number from 0 to 2^53 − 1
   */
  protected constructor(definition: Definition<Tree>, seed: number) {
    if (!Number.isSafeInteger(seed) || seed < 0) {
      throw new RangeError(`seed is ${seed}; it must be a whole number from 0 to 2^53 − 1.`);
    }
    this.#definition = definition;
    this.#frequencies = definition.frequencies;
    this.#assign(initialParameters(definition, seed));
  }

  /** Names, shapes and order of the parameters. */
  get layout(): Layout {
    return this.#definition.layout;
  }

  /**
   * The parameters by name. They are the model's own tensors: gradients can be taken for them
   * (`tf.grads(() => loss)(Object.values(model.parameters))`), and `dispose` frees them.
   */
  get parameters(): NamedTensors {
    return Object.fromEntries(this.layout.entries.map(({ name }, i) => [name, this.tensors[i]]));
  }

  /** Parameters and positions by FLASH-pytorch's names, as new tensors that belong to the caller. */
  stateDict(): NamedTensors {
    const { frozen } = this.#definition;
    const state: NamedTensors = {};
    for (const [name, tensor] of Object.entries(this.parameters)) state[name] = tf.clone(tensor);
    for (const { name, holds } of frozen) state[name] = tf.tensor1d(this.#frequencies[holds]!);
    return state;
  }

  /**
   * Takes all values from a state dict, ours or FLASH-pytorch's. The tensors given stay the caller's.
   *
   * @throws {TypeError} when it doesn't fit, with all that is missing, unexpected or of another shape; the model is unchanged then
   */
  loadStateDict(state: Readonly<NamedTensors>): void {
    const flat = Object.entries(state).map(([name, tensor]): [string, FlatTensor] => [
      name,
      { dtype: DTYPES[tensor.dtype], shape: tensor.shape, values: tensor.dataSync() },
    ]);
    const { params, frequencies } = fromStateDict(this.#definition, Object.fromEntries(flat));
    this.#frequencies = frequencies;
    this.#assign(params);
  }

  /** Frees the tensors of the parameters; the model can't be used any more. */
  dispose(): void {
    tf.dispose(this.#tensors);
    this.#tensors = [];
  }

  /** The parameters in order. */
  protected get tensors(): tf.Tensor[] {
    if (this.#tensors.length === 0) throw new Error("This model was disposed of; make a new one.");
    return this.#tensors;
  }

  /** The parameters as the model's function takes them. */
  protected get tree(): Tree {
    return this.#definition.tree(this.tensors);
  }

  /** The frequencies that the model computes with: those of the last loaded state dict, else a new model's. */
  get frequencies(): Frequencies {
    return this.#frequencies;
  }

  /** Splits a flat vector into tensors that outlive any `tf.tidy` around the model. */
  #assign(flat: Float32Array): void {
    tf.dispose(this.#tensors);
    this.#tensors = this.layout.entries.map(({ shape, offset, size }) =>
      tf.keep(tf.tensor(flat.slice(offset, offset + size), [...shape], "float32"))
    );
  }
}

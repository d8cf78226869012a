/**
 * The state of decoding, which each token advances.
 *
 * Legend: b batch, v vocabulary.
 *
 * @module
 */

import { type ExecutionPath, tf } from "../../tensorflow/mod.ts";
import { CHANGED_BY_FLUSH, CHANGED_BY_TOKEN, flattenCaches, isFull, type LayerCache } from "./cache.ts";
import {
  type Compiled,
  compiledFor,
  readerFor,
  readPrompt,
  TOKEN_INPUTS,
  type TokenInputs,
} from "./compiled.ts";
import { type Decoded, distanceBiases, tokenPosition } from "./decoding.ts";
import type { FLASHTransformer } from "../models.ts";
import { pack } from "../named_inputs.ts";
import { type TransformerModel, transformerModel } from "../training.ts";

/** The state of decoding: caches and next logits of all samples. */
export class Decoder implements Disposable {
  readonly #model: TransformerModel;
  readonly #parameters: tf.Tensor[];
  readonly #biases: tf.Tensor;
  readonly #compiled: Compiled;
  #position: number;
  #logits: tf.Tensor2D;
  readonly #caches: LayerCache[];

  /** Reads the prompt. */
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

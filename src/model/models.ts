/**
 * The public classes: a GAU layer, a FLASH layer and the transformer, with FLASH-pytorch's options in camelCase.
 *
 * @module
 */

import { tf } from "../tensorflow/mod.ts";
import { dropoutSeed } from "./dropout.ts";
import { flash, flashConstants } from "./flash.ts";
import { gau } from "./gau.ts";
import { checkBias, checkInput, type Ids, idsTensor, labelsTensor, type Mask, maskTensor } from "./inputs.ts";
import { countTokens } from "./loss.ts";
import { Module, type NamedTensors } from "./module.ts";
import {
  type FLASHOptions,
  type FLASHTransformerOptions,
  type GAUOptions,
  resolveFLASH,
  resolveGAU,
  resolveTransformer,
} from "./options.ts";
import {
  defineFLASH,
  defineGAU,
  defineTransformer,
  type LayerParameters,
  type TransformerParameters,
} from "./parameters.ts";
import { lossSumAndGradients, transformerModel } from "./training.ts";
import { transformer } from "./transformer.ts";

/** How a model begins. */
export interface InitOptions {
  /** Decides the values of the parameters; equal seeds give equal models. Default 0. */
  seed?: number;
}

/** What `forward` takes besides its input. */
export interface ForwardOptions {
  /**
   * True for the tokens that others may see [b, n]; false for padding, which belongs at the end of a sequence: positions and
   * groups count it, so that before a sequence or within it it would change what the others get.
   */
  mask?: Mask;
  /**
   * Lets FLASH and the transformer mask any tokens. They are not seen, but keep their positions. Not with `shiftTokens`, where
   * each token hands half of its features to the next. Default false.
   */
  maskAnywhere?: boolean;
  /** Turns dropout on and decides what is dropped. Without it the model evaluates. */
  seed?: number;
}

/** A GAU has no positions but distances, and no groups. */
const ANY_MASK = { shiftTokens: false, maskAnywhere: true };

const seedTensor = (seed: number | undefined) =>
  seed === undefined ? undefined : tf.tensor1d(dropoutSeed(seed), "int32");

/**
 * A gated attention unit ("Transformer Quality in Linear Time", section 2). Its cost grows with the square of the length.
 *
 * @example
 * ```ts
 * import { initBackend, tf } from "../tensorflow/mod.ts";
 * import { GAU } from "./models.ts";
 * await initBackend({ backend: "cpu" });
 * const gau = new GAU({ dim: 16, queryKeyDim: 8, causal: true, laplaceAttnFn: true }, { seed: 1 });
 * const y = gau.forward(tf.zeros([1, 10, 16]));
 * console.assert(y.shape.join() === "1,10,16");
 * ```
 */
export class GAU extends Module<LayerParameters<tf.Tensor>> {
  /** The options with the defaults filled in. */
  readonly options: Readonly<Required<GAUOptions>>;

  /**
   * Checks the options and draws the first values of the parameters.
   *
   * @throws {TypeError} when an option is missing, unknown or of the wrong kind
   * @throws {RangeError} when one is out of range
   */
  constructor(options: GAUOptions, { seed = 0 }: InitOptions = {}) {
    const resolved = resolveGAU(options);
    super(defineGAU(resolved), seed);
    this.options = resolved;
  }

  /**
   * The layer's output [b, n, d], a tensor of the caller's. Gradients can be taken through it.
   *
   * @param x [b, n, d]
   * @param options mask [b, n], which may hide any tokens, since only distances count here; a bias [n, n] to add to the scores;
   * and a seed for dropout
   * @throws {RangeError} when a shape doesn't fit
   */
  forward(
    x: tf.Tensor,
    { mask, relPosBias, seed }: ForwardOptions & { relPosBias?: tf.Tensor } = {},
  ): tf.Tensor3D {
    checkInput(x, this.options.dim);
    checkBias(relPosBias, x.shape[1]!);
    return tf.tidy(() => {
      const inputs = { mask: maskTensor(mask, x.shape, ANY_MASK), relPosBias, seed: seedTensor(seed) };
      return gau(this.tree, x, this.options, inputs) as tf.Tensor3D;
    });
  }
}

/**
 * A FLASH layer ("Transformer Quality in Linear Time", section 3): attention within groups of tokens and linear attention
 * between them. Its cost grows linearly with the length; any length will do.
 *
 * @example
 * ```ts
 * import { initBackend, tf } from "../tensorflow/mod.ts";
 * import { FLASH } from "./models.ts";
 * await initBackend({ backend: "cpu" });
 * const flash = new FLASH({ dim: 16, queryKeyDim: 8, groupSize: 4, causal: true, rotary: true });
 * const y = flash.forward(tf.zeros([1, 11, 16]));
 * console.assert(y.shape.join() === "1,11,16");
 * ```
 */
export class FLASH extends Module<LayerParameters<tf.Tensor>> {
  /** The options with the defaults filled in. */
  readonly options: Readonly<Required<FLASHOptions>>;

  /**
   * Checks the options and draws the first values of the parameters.
   *
   * @throws {TypeError} when an option is missing, unknown or of the wrong kind
   * @throws {RangeError} when one is out of range
   */
  constructor(options: FLASHOptions, { seed = 0 }: InitOptions = {}) {
    const resolved = resolveFLASH(options);
    super(defineFLASH(resolved), seed);
    this.options = resolved;
  }

  /**
   * The layer's output [b, n, d], a tensor of the caller's. Gradients can be taken through it.
   *
   * @param x [b, n, d]
   * @param options mask [b, n] and a seed for dropout
   * @throws {RangeError} when a shape doesn't fit, or when a mask hides more than the end of a sequence, unless `maskAnywhere`
   * asks for it and tokens don't shift
   */
  forward(x: tf.Tensor, { mask, maskAnywhere, seed }: ForwardOptions = {}): tf.Tensor3D {
    checkInput(x, this.options.dim);
    return tf.tidy(() => {
      const { shiftTokens } = this.options;
      const inputs = {
        mask: maskTensor(mask, x.shape, { shiftTokens, maskAnywhere }),
        seed: seedTensor(seed),
      };
      const constants = flashConstants(this.options, x.shape[1]!, this.frequencies);
      return flash(this.tree, x, this.options, constants, inputs) as tf.Tensor3D;
    });
  }
}

/** Mean loss of a batch and its gradient. */
export interface LossAndGradients {
  /** Mean cross entropy of the counted tokens, in nats. */
  loss: number;
  /** How many tokens were counted. */
  tokens: number;
  /** Gradient of `loss` by parameter; the tensors belong to the caller. */
  gradients: NamedTensors;
}

/**
 * The FLASH transformer: token ids in, logits for the next token out.
 *
 * @example
 * ```ts
 * import { initBackend, tf } from "../tensorflow/mod.ts";
 * import { FLASHTransformer } from "./models.ts";
 * await initBackend({ backend: "cpu" });
 * const model = new FLASHTransformer({ numTokens: 256, dim: 16, depth: 2, causal: true, groupSize: 4 }, { seed: 1 });
 * const logits = model.forward([[72, 101, 108, 108, 111]]);
 * console.assert(logits.shape.join() === "1,5,256");
 * const { loss, tokens } = await model.lossAndGradients([[72, 101, 108, 108]], [[101, 108, 108, 111]]);
 * console.assert(tokens === 4 && loss > 4);
 * model.dispose();
 * ```
 */
export class FLASHTransformer extends Module<TransformerParameters<tf.Tensor>> {
  /** The options with the defaults filled in. */
  readonly options: Readonly<Required<FLASHTransformerOptions>>;

  /**
   * Checks the options and draws the first values of the parameters.
   *
   * @throws {TypeError} when an option is missing, unknown or of the wrong kind
   * @throws {RangeError} when one is out of range
   */
  constructor(options: FLASHTransformerOptions, { seed = 0 }: InitOptions = {}) {
    const resolved = resolveTransformer(options);
    super(defineTransformer(resolved), seed);
    this.options = resolved;
  }

  /**
   * Logits [b, n, v], a tensor of the caller's.
   *
   * @param ids [b, n], from 0 to below numTokens
   * @param options mask [b, n] and a seed for dropout
   * @throws {RangeError} when an id is out of range, a shape doesn't fit, or a mask hides more than the end of a sequence, unless
   * `maskAnywhere` asks for it and tokens don't shift
   */
  forward(ids: Ids, { mask, maskAnywhere, seed }: ForwardOptions = {}): tf.Tensor3D {
    return tf.tidy(() => {
      const { numTokens, shiftTokens } = this.options;
      const tensor = idsTensor(ids, numTokens);
      const inputs = {
        mask: maskTensor(mask, tensor.shape, { shiftTokens, maskAnywhere }),
        seed: seedTensor(seed),
      };
      return transformer(this.tree, tensor, this.options, this.frequencies, inputs) as tf.Tensor3D;
    });
  }

  /**
   * Mean loss and its gradients. Which tokens count is said by the labels alone: the mask hides tokens from each other, so give
   * padding the label −1 too.
   *
   * @param ids [b, n]
   * @param labels [b, n]: the token after each one, −1 where none is to be counted
   * @param options mask [b, n] and a seed for dropout
   * @throws {RangeError} as `forward`, or when no label counts
   */
  async lossAndGradients(
    ids: Ids,
    labels: Ids,
    { mask, maskAnywhere, seed }: ForwardOptions = {},
  ): Promise<LossAndGradients> {
    const { numTokens, shiftTokens } = this.options;
    const { loss, tokens, gradients } = tf.tidy(() => {
      const idsIn = idsTensor(ids, numTokens);
      const batch = {
        ids: idsIn,
        labels: labelsTensor(labels, idsIn, numTokens),
        mask: maskTensor(mask, idsIn.shape, { shiftTokens, maskAnywhere }),
      };
      const model = transformerModel(this.options, this.frequencies);
      const sums = lossSumAndGradients(model, this.tensors, batch, seedTensor(seed));
      const tokens = countTokens(batch.labels);
      const mean = (sum: tf.Tensor) => tf.div(sum, tf.cast(tokens, "float32"));
      return { loss: mean(sums.lossSum), tokens, gradients: sums.gradients.map(mean) };
    });
    const [[meanLoss], [counted]] = await Promise.all([loss.data(), tokens.data()]);
    tf.dispose([loss, tokens]);
    if (counted === 0) {
      tf.dispose(gradients);
      throw new RangeError("Every label is −1: there is no token to take the mean loss of.");
    }
    const named = this.layout.entries.map(({ name }, i): [string, tf.Tensor] => [name, gradients[i]]);
    return { loss: meanLoss, tokens: counted, gradients: Object.fromEntries(named) };
  }
}

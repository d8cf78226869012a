/**
 * The one file that owns the parameters: their names and shapes in FLASH-pytorch's state dict, their order in the flat vector
 * (that of PyTorch's `parameters()`), their initial distributions, and the tree of them that the model's functions take.
 *
 * ```text
 * FLASHTransformer                            FLASH layer                                    GAU layer
 * token_emb.weight            [v, d]          rel_pos_bias.relative_attention_bias.weight    norm.…
 * abs_pos_emb.scale           [1]                                         [32, 1]            rel_pos_bias.…
 * layers.0.…                                  norm.g [1] or norm.weight, norm.bias [d]       to_hidden.0.…
 * …                                           to_hidden.0.weight, .bias   [2e, d], [2e]      to_qk.0.…
 * to_logits.0.weight, .bias   [d], [d]        to_qk.0.weight, .bias       [s, d], [s]        offsetscale.…  [2, s]
 * to_logits.1.weight, .bias   [v, d], [v]     qk_offset_scale.gamma, .beta  [4, s]           to_out.0.…
 *                                             to_out.weight, .bias        [d, e], [d]
 * frozen: abs_pos_emb.inv_freq [d/2]          frozen: rotary_pos_emb.freqs [min(32, s)/2]
 * ```
 *
 * @module
 */

import { type Layout, layoutOf } from "../layout.ts";
import { normalArray, uniformArray } from "../prng.ts";
import type { tf } from "../tensorflow/mod.ts";
import {
  type CommonOptions,
  type FLASHOptions,
  type FLASHTransformerOptions,
  type GAUOptions,
  hiddenDim,
  layerOptions,
  rotaryDim,
} from "./options.ts";
import { type Frequencies, inverseFrequencies } from "./frequencies.ts";

/** Number of buckets that the T5 bias sorts distances into. */
export const BUCKETS = 32;

/** A linear map: weight [out, in], bias [out]. */
export interface Linear<T> {
  /** [out, in], as in PyTorch. */
  weight: T;
  /** [out] */
  bias: T;
}

/** LayerNorm's weight [d] and bias [d], or ScaleNorm's g [1]. */
export type Norm<T> = { weight: T; bias: T } | { g: T };

/** One scale and one offset per head: gamma and beta [heads, s]. */
export interface OffsetScale<T> {
  /** [heads, s] */
  gamma: T;
  /** [heads, s] */
  beta: T;
}

/** The parameters of a GAU or of a FLASH layer. */
export interface LayerParameters<T> {
  /** Norm of the input. */
  norm: Norm<T>;
  /** T5 relative position bias by bucket of distances [32, 1]; undefined where a GAU has none. */
  relPosBias?: T;
  /** Projection to values and gate [2e, d]. */
  toHidden: Linear<T>;
  /** The projection that queries and keys share [s, d]. */
  toQk: Linear<T>;
  /** Scales and offsets that make queries and keys of it: two heads in a GAU, four in a FLASH layer. */
  offsetScale: OffsetScale<T>;
  /** Output projection [d, e]. */
  toOut: Linear<T>;
}

/** The parameters of a transformer. */
export interface TransformerParameters<T> {
  /** [v, d] */
  tokenEmb: T;
  /** Scale of the sinusoidal positions [1]. */
  positionScale: T;
  /** One per layer, in order. */
  layers: LayerParameters<T>[];
  /** The last norm, always LayerNorm. */
  finalNorm: Norm<T>;
  /** Projection to the vocabulary [v, d]. */
  toLogits: Linear<T>;
}

/** The declaration of one parameter. */
export interface ParameterSpec {
  /** Its name in the state dict. */
  readonly name: string;
  /** Its shape there. */
  readonly shape: readonly number[];
  /** Draws its initial values. */
  readonly init: (size: number, seed: number, purpose: string) => Float32Array;
  /** Whether weight decay applies: only to the weights of linear maps. */
  readonly decays: boolean;
}

/** A buffer of the state dict, which is not trained, and which of the frequencies it holds. Every layer repeats the rotary ones. */
export interface FrozenSpec {
  /** Its name in the state dict. */
  readonly name: string;
  /** What it holds. */
  readonly holds: keyof Frequencies;
}

/** Declares all parameters and buffers of a model; `Tree` is the form in which its function takes them. */
export interface Definition<Tree> {
  /** The parameters in order. */
  readonly specs: readonly ParameterSpec[];
  /** Where each lies in the flat vector. */
  readonly layout: Layout;
  /** The buffers of the state dict. */
  readonly frozen: readonly FrozenSpec[];
  /** The frequencies of a new model. */
  readonly frequencies: Frequencies;
  /** The tree over one tensor per parameter, given in order. */
  tree(tensors: readonly tf.Tensor[]): Tree;
}

/** Visits one parameter of the tree and returns its value: declares it, or takes the next tensor of a list. */
type Visit<T> = (spec: ParameterSpec) => T;

type Init = ParameterSpec["init"];
const constant = (value: number): Init => (size) => new Float32Array(size).fill(value);
const normal = (deviation: number): Init => (size, seed, purpose) =>
  normalArray(size, seed, purpose, deviation);
const uniform = (bound: number): Init => (size, seed, purpose) =>
  uniformArray(size, seed, purpose, -bound, bound);

function linear<T>(visit: Visit<T>, name: string, inputs: number, outputs: number): Linear<T> {
  const init = uniform(1 / Math.sqrt(inputs));
  return {
    weight: visit({ name: `${name}.weight`, shape: [outputs, inputs], init, decays: true }),
    bias: visit({ name: `${name}.bias`, shape: [outputs], init, decays: false }),
  };
}

function norm<T>(visit: Visit<T>, name: string, type: "layernorm" | "scalenorm", dim: number): Norm<T> {
  if (type === "scalenorm") {
    return { g: visit({ name: `${name}.g`, shape: [1], init: constant(1), decays: false }) };
  }
  return {
    weight: visit({ name: `${name}.weight`, shape: [dim], init: constant(1), decays: false }),
    bias: visit({ name: `${name}.bias`, shape: [dim], init: constant(0), decays: false }),
  };
}

function offsetScale<T>(visit: Visit<T>, name: string, heads: number, dim: number): OffsetScale<T> {
  return {
    gamma: visit({ name: `${name}.gamma`, shape: [heads, dim], init: normal(0.02), decays: false }),
    beta: visit({ name: `${name}.beta`, shape: [heads, dim], init: constant(0), decays: false }),
  };
}

function embedding<T>(visit: Visit<T>, name: string, rows: number, dim: number): T {
  return visit({ name: `${name}.weight`, shape: [rows, dim], init: normal(1), decays: false });
}

const bias = <T>(visit: Visit<T>, prefix: string) =>
  embedding(visit, `${prefix}rel_pos_bias.relative_attention_bias`, BUCKETS, 1);

function projections<T>(visit: Visit<T>, options: Required<CommonOptions>, prefix: string) {
  return {
    toHidden: linear(visit, `${prefix}to_hidden.0`, options.dim, 2 * hiddenDim(options)),
    toQk: linear(visit, `${prefix}to_qk.0`, options.dim, options.queryKeyDim),
  };
}

function gauTree<T>(visit: Visit<T>, options: Required<GAUOptions>): LayerParameters<T> {
  const { dim, queryKeyDim, normType } = options;
  return {
    norm: norm(visit, "norm", normType, dim),
    relPosBias: options.relPosBias ? bias(visit, "") : undefined,
    ...projections(visit, options, ""),
    offsetScale: offsetScale(visit, "offsetscale", 2, queryKeyDim),
    toOut: linear(visit, "to_out.0", hiddenDim(options), dim),
  };
}

function flashTree<T>(visit: Visit<T>, options: Required<FLASHOptions>, prefix = ""): LayerParameters<T> {
  const { dim, queryKeyDim, normType } = options;
  return {
    relPosBias: bias(visit, prefix),
    norm: norm(visit, `${prefix}norm`, normType, dim),
    ...projections(visit, options, prefix),
    offsetScale: offsetScale(visit, `${prefix}qk_offset_scale`, 4, queryKeyDim),
    toOut: linear(visit, `${prefix}to_out`, hiddenDim(options), dim),
  };
}

const layerPrefix = (index: number) => `layers.${index}.`;

function transformerTree<T>(
  visit: Visit<T>,
  options: Required<FLASHTransformerOptions>,
): TransformerParameters<T> {
  const { dim, numTokens, depth } = options;
  const layer = layerOptions(options);
  return {
    tokenEmb: embedding(visit, "token_emb", numTokens, dim),
    positionScale: visit({ name: "abs_pos_emb.scale", shape: [1], init: constant(1), decays: false }),
    layers: Array.from({ length: depth }, (_, index) => flashTree(visit, layer, layerPrefix(index))),
    finalNorm: norm(visit, "to_logits.0", "layernorm", dim),
    toLogits: linear(visit, "to_logits.1", dim, numTokens),
  };
}

/** Declares all parameters of a tree, in the order in which it visits them. */
function declare(walk: (visit: Visit<void>) => unknown): { specs: ParameterSpec[]; layout: Layout } {
  const specs: ParameterSpec[] = [];
  walk((spec) => void specs.push(spec));
  return { specs, layout: layoutOf(specs.map(({ name, shape }) => [name, shape] as const)) };
}

/** Fills a tree with tensors, in the same order. */
function fill<Tree>(tensors: readonly tf.Tensor[], walk: (visit: Visit<tf.Tensor>) => Tree): Tree {
  let next = 0;
  return walk(() => tensors[next++]);
}

const ROTARY = "rotary_pos_emb.freqs";

/** The parameters of a GAU. */
export function defineGAU(options: Required<GAUOptions>): Definition<LayerParameters<tf.Tensor>> {
  return {
    ...declare((visit) => gauTree(visit, options)),
    frozen: [],
    frequencies: {},
    tree: (tensors) => fill(tensors, (visit) => gauTree(visit, options)),
  };
}

/** The parameters of a FLASH layer. */
export function defineFLASH(options: Required<FLASHOptions>): Definition<LayerParameters<tf.Tensor>> {
  return {
    ...declare((visit) => flashTree(visit, options)),
    frozen: options.rotary ? [{ name: ROTARY, holds: "rotary" }] : [],
    frequencies: options.rotary ? { rotary: inverseFrequencies(rotaryDim(options)) } : {},
    tree: (tensors) => fill(tensors, (visit) => flashTree(visit, options)),
  };
}

/** The parameters of a transformer. */
export function defineTransformer(
  options: Required<FLASHTransformerOptions>,
): Definition<TransformerParameters<tf.Tensor>> {
  const rotary = Array.from({ length: options.depth }, (_, index): FrozenSpec => ({
    name: layerPrefix(index) + ROTARY,
    holds: "rotary",
  }));
  return {
    ...declare((visit) => transformerTree(visit, options)),
    frozen: [{ name: "abs_pos_emb.inv_freq", holds: "sinusoidal" }, ...rotary],
    frequencies: {
      sinusoidal: inverseFrequencies(options.dim),
      rotary: inverseFrequencies(rotaryDim(options)),
    },
    tree: (tensors) => fill(tensors, (visit) => transformerTree(visit, options)),
  };
}

/**
 * Initial parameters as one flat vector in Layout order: PyTorch's default distributions, with a random stream for each
 * parameter's name.
 *
 * @example
 * ```ts
 * import { resolveFLASH } from "./options.ts";
 * import { defineFLASH, initialParameters } from "./parameters.ts";
 * const definition = defineFLASH(resolveFLASH({ dim: 16 }));
 * console.assert(initialParameters(definition, 1).length === definition.layout.size);
 * ```
 */
export function initialParameters(
  { specs, layout }: Pick<Definition<unknown>, "specs" | "layout">,
  seed: number,
): Float32Array {
  const flat = new Float32Array(layout.size);
  specs.forEach(({ name, init }, i) => {
    const { offset, size } = layout.entries[i];
    flat.set(init(size, seed, `init ${name}`), offset);
  });
  return flat;
}

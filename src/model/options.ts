/**
 * The options of GAU, FLASH and FLASHTransformer: FLASH-pytorch's, in camelCase, with its defaults. They are checked once,
 * here; the code behind relies on it.
 *
 * @module
 */

import { stringifyJson } from "../json.ts";

/** LayerNorm with weight and bias, or ScaleNorm with one scalar. */
export type NormType = "layernorm" | "scalenorm";

/** What GAU, FLASH and FLASHTransformer have in common. */
export interface CommonOptions {
  /** Width of the input and the output. */
  dim: number;
  /** Width of queries and keys. Default 128. */
  queryKeyDim?: number;
  /** The hidden width is `trunc(dim × expansionFactor)`. Default 2. */
  expansionFactor?: number;
  /** Whether a token sees only itself and the tokens before it. Default false. */
  causal?: boolean;
  /** Laplace attention function instead of ReLU². Default false. */
  laplaceAttnFn?: boolean;
  /** Norm before each layer. Default "layernorm", in the transformer "scalenorm". */
  normType?: NormType;
  /**
   * Where FLASH-pytorch divides by the sequence's length, padding included, divide by the number of tokens that the mask
   * leaves: then the amount of padding doesn't change the results for the real tokens. Default false, as in FLASH-pytorch. It concerns GAU
   * and bidirectional FLASH; causal FLASH divides by the group size only.
   */
  divideByMaskedLength?: boolean;
}

/** Options of one gated attention unit. */
export interface GAUOptions extends CommonOptions {
  /** Dropout rate of the attention weights and of the output. Default 0. */
  dropout?: number;
  /** Whether the input is added to the output. Default true. */
  addResidual?: boolean;
  /** Learned T5 bias by distance. Default true: FLASH-pytorch builds and adds it whatever its `rel_pos_bias` says. */
  relPosBias?: boolean;
}

/** What a FLASH layer and the transformer have in common. */
export interface GroupedOptions extends CommonOptions {
  /** Tokens per group: quadratic attention within a group, linear attention between groups. Default 256. */
  groupSize?: number;
  /** Token shift: whether half of the features come from the token before. Default false, in the transformer true. */
  shiftTokens?: boolean;
  /** Without `causal`: one linear context for all groups instead of one per group. Default true. */
  reduceGroupNonCausalAttn?: boolean;
}

/** Options of one FLASH layer. The input is always added to the output. */
export interface FLASHOptions extends GroupedOptions {
  /** Dropout rate of the attention weights. Default 0. */
  dropout?: number;
  /** Rotary embedding on the first min(32, queryKeyDim) features of queries and keys. Default false. */
  rotary?: boolean;
}

/** Options of the transformer. */
export interface FLASHTransformerOptions extends GroupedOptions {
  /** Size of the vocabulary. */
  numTokens: number;
  /** Number of FLASH layers. */
  depth: number;
  /** Dropout rate of the attention weights. Default 0. */
  attnDropout?: number;
}

const COMMON = {
  queryKeyDim: 128,
  expansionFactor: 2,
  causal: false,
  laplaceAttnFn: false,
  normType: "layernorm" as NormType,
  divideByMaskedLength: false,
};
const GROUPED = { ...COMMON, groupSize: 256, shiftTokens: false, reduceGroupNonCausalAttn: true };
const GAU_DEFAULTS = { ...COMMON, dropout: 0, addResidual: true, relPosBias: true };
const FLASH_DEFAULTS = { ...GROUPED, dropout: 0, rotary: false };
const TRANSFORMER_DEFAULTS = {
  ...GROUPED,
  normType: "scalenorm" as NormType,
  shiftTokens: true,
  attnDropout: 0,
};

/** The rotary embedding rotates at most this many features: a partial embedding, as in GPT-J. */
const MAX_ROTARY_DIM = 32;

/** Width of the hidden layer e; `to_hidden` has 2e outputs, values and gate. */
export function hiddenDim({ dim, expansionFactor }: Required<CommonOptions>): number {
  return Math.trunc(dim * expansionFactor);
}

/** How many features of queries and keys the rotary embedding rotates. */
export function rotaryDim({ queryKeyDim }: Required<CommonOptions>): number {
  return Math.min(MAX_ROTARY_DIM, queryKeyDim);
}

/**
 * Checks a GAU's options and fills in the defaults.
 *
 * @throws {TypeError} when an option is missing, unknown or of the wrong kind
 * @throws {RangeError} when one is out of range
 */
export function resolveGAU(options: GAUOptions): Required<GAUOptions> {
  const resolved = { ...GAU_DEFAULTS, ...given("GAU", options, ["dim"], GAU_DEFAULTS) };
  checkHidden("GAU", resolved);
  return resolved;
}

/** Checks a FLASH layer's options and fills in the defaults; throws as {@linkcode resolveGAU}. */
export function resolveFLASH(options: FLASHOptions): Required<FLASHOptions> {
  const resolved = { ...FLASH_DEFAULTS, ...given("FLASH", options, ["dim"], FLASH_DEFAULTS) };
  checkGrouped("FLASH", resolved);
  return resolved;
}

/** Checks a transformer's options and fills in the defaults; throws as {@linkcode resolveGAU}. */
export function resolveTransformer(options: FLASHTransformerOptions): Required<FLASHTransformerOptions> {
  const what = "FLASHTransformer";
  const required = ["dim", "numTokens", "depth"] as const;
  const resolved = { ...TRANSFORMER_DEFAULTS, ...given(what, options, required, TRANSFORMER_DEFAULTS) };
  if (resolved.dim % 2 !== 0) {
    throw new RangeError(
      `${what}: dim is ${resolved.dim}; it must be even: half of it are sines, half cosines.`,
    );
  }
  checkGrouped(what, { ...resolved, rotary: true });
  return resolved;
}

/** The options of the transformer's layers. */
export function layerOptions(
  { numTokens: _numTokens, depth: _depth, attnDropout, ...shared }: Required<FLASHTransformerOptions>,
): Required<FLASHOptions> {
  return { ...shared, dropout: attnDropout, rotary: true };
}

/**
 * Multiplications and additions of a training step for one token, forward and backward: of the matrix products in the plain
 * formulas of `flash.ts`, as PaLM's appendix B counts them, with whole matrices also where causal attention discards half of the
 * scores. The backward pass has two products for each of the forward pass. Norms, activations and the optimizer are left out.
 *
 * @param n tokens of a sequence
 *
 * @example
 * ```ts
 * import { flopsPerToken } from "./options.ts";
 * const options = { numTokens: 256, dim: 128, depth: 4, causal: true, groupSize: 64 };
 * console.assert(flopsPerToken(options, 256) > flopsPerToken(options, 64)); // one group has no linear attention
 * ```
 */
export function flopsPerToken(options: FLASHTransformerOptions, n: number): number {
  const resolved = resolveTransformer(options);
  const { dim: d, queryKeyDim: s, numTokens: v, depth, groupSize, causal } = resolved;
  const e = hiddenDim(resolved);
  const c = Math.min(groupSize, n);
  const projections = d * 2 * e + d * s + e * d; // toHidden, toQk, toOut
  const quadratic = c * (s + e); // q kᵀ and its product with v, for one query
  const linear = causal && n <= c ? 0 : 2 * s * e; // kᵀ v and its product with q
  const products = depth * (projections + quadratic + linear) + d * v;
  return 3 * 2 * products; // one multiplication and one addition each
}

/** What an option's value must be. */
interface Rule {
  /** Any value of the right kind. */
  like: unknown;
  wanted: string;
  holds(value: unknown): boolean;
}

const COUNT: Rule = {
  like: 1,
  wanted: "a whole number from 1 on",
  holds: (value) => Number.isSafeInteger(value) && (value as number) >= 1,
};
const POSITIVE: Rule = {
  like: 1,
  wanted: "a number above 0",
  holds: (value) => Number.isFinite(value) && (value as number) > 0,
};
const SHARE: Rule = {
  like: 1,
  wanted: "from 0 to below 1",
  holds: (value) => Number.isFinite(value) && (value as number) >= 0 && (value as number) < 1,
};
const FLAG: Rule = { like: true, wanted: "true or false", holds: (value) => typeof value === "boolean" };
const NORM: Rule = {
  like: "",
  wanted: '"layernorm" or "scalenorm"',
  holds: (value) => value === "layernorm" || value === "scalenorm",
};

const RULES: Record<string, Rule> = {
  dim: COUNT,
  numTokens: COUNT,
  depth: COUNT,
  queryKeyDim: COUNT,
  groupSize: COUNT,
  expansionFactor: POSITIVE,
  dropout: SHARE,
  attnDropout: SHARE,
  normType: NORM,
  causal: FLAG,
  laplaceAttnFn: FLAG,
  divideByMaskedLength: FLAG,
  addResidual: FLAG,
  relPosBias: FLAG,
  shiftTokens: FLAG,
  reduceGroupNonCausalAttn: FLAG,
  rotary: FLAG,
};

/** The options that were given, each checked; `undefined` counts as not given. */
function given<T extends object>(
  what: string,
  options: T,
  required: readonly (keyof T & string)[],
  defaults: object,
): T {
  if (typeof options !== "object" || options === null) {
    throw new TypeError(`${what} takes an object with its options, e.g. { dim: 512 }, not ${options}.`);
  }
  for (const name of required) {
    if (options[name] === undefined) throw new TypeError(`${what}: the option ${name} is missing.`);
  }
  const isKnown = (name: string) => Object.hasOwn(defaults, name) || required.some((key) => key === name);
  // An unknown option that is false is ignored, so that one object of options, with rotary: false, serves GAU and FLASH.
  const entries = Object.entries(options)
    .filter(([name, value]) => value !== undefined && (isKnown(name) || value !== false));
  for (const [name, value] of entries) {
    if (!isKnown(name)) {
      const known = [...required, ...Object.keys(defaults)].join(", ");
      throw new TypeError(`${what}: there is no option ${name}; the options are ${known}.`);
    }
    const { like, wanted, holds } = RULES[name];
    if (holds(value)) continue;
    const message = `${what}: ${name} is ${stringifyJson(value)}; it must be ${wanted}.`;
    throw typeof value === typeof like ? new RangeError(message) : new TypeError(message);
  }
  return Object.fromEntries(entries) as T;
}

function checkHidden(what: string, options: Required<CommonOptions>): void {
  if (hiddenDim(options) < 1) {
    throw new RangeError(
      `${what}: expansionFactor ${options.expansionFactor} leaves a dim of ${options.dim} without a hidden feature.`,
    );
  }
}

function checkGrouped(what: string, options: Required<GroupedOptions> & { rotary: boolean }): void {
  checkHidden(what, options);
  if (options.shiftTokens && options.dim % 2 !== 0) {
    throw new RangeError(
      `${what}: dim is ${options.dim}; with shiftTokens it must be even: half of the features move.`,
    );
  }
  if (options.rotary && rotaryDim(options) % 2 !== 0) {
    throw new RangeError(
      `${what}: queryKeyDim is ${options.queryKeyDim}; the rotary embedding turns pairs of features, ` +
        `so below ${MAX_ROTARY_DIM} it must be even.`,
    );
  }
}

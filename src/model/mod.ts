/**
 * The model: a GAU layer, a FLASH layer and the transformer.
 *
 * @module
 */

export { FLASH, FLASHTransformer, GAU } from "./models.ts";
export type { ForwardOptions, InitOptions, LossAndGradients } from "./models.ts";
export type {
  CommonOptions,
  FLASHOptions,
  FLASHTransformerOptions,
  GAUOptions,
  GroupedOptions,
  NormType,
} from "./options.ts";
export type { Ids, Mask } from "./inputs.ts";
export type { Layout, LayoutEntry } from "../layout.ts";
export type { Module, NamedTensors } from "./module.ts";
export type {
  Definition,
  FrozenSpec,
  LayerParameters,
  Linear,
  Norm,
  OffsetScale,
  ParameterSpec,
  TransformerParameters,
} from "./parameters.ts";
export type { Frequencies } from "./frequencies.ts";

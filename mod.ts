/**
 * flashmob: data-parallel training of FLASH transformers on Deno.
 *
 * @module
 */

export {
  backendInfo,
  compile,
  gatherRows,
  initBackend,
  RecordingError,
  statelessUniform,
  TensorFlowError,
  tf,
} from "./src/tensorflow/mod.ts";
export type * from "./src/tensorflow/mod.ts";
export { FLASH, FLASHTransformer, GAU } from "./src/model/mod.ts";
export type * from "./src/model/mod.ts";
export { generate, type GenerateOptions, generateSamples } from "./src/model/generation/generate.ts";
export type { Sampling } from "./src/model/generation/sampling.ts";
export { readSafetensors } from "./src/checkpoint/tensor_files.ts";
export { train, type TrainOptions } from "./src/run/train.ts";
export { type CoordinatorOptions, startCoordinator } from "./src/run/participants/coordinator.ts";
export { type ReducerOptions, startReducer } from "./src/run/participants/reducer.ts";
export {
  startWorker,
  type WorkerOptions,
  type WorkerOutcome,
  type WorkerStep,
} from "./src/run/participants/worker.ts";
export type { Config, ConfigInput, RunConfig } from "./src/config/config.ts";
export type { RunEvent, RunListener } from "./src/run/folder/log.ts";
export {
  type EventSchema,
  type RecordedEvent,
  recordedEventSchema,
  type RunCard,
  type RunHappening,
} from "./src/run/folder/events.ts";
export type { MembersLine } from "./src/run/folder/members.ts";
export type { Summary } from "./src/run/folder/summary.ts";
export type { EvaluationMetrics, StepMetrics } from "./src/run/folder/metrics.ts";
export { ConfigError, RunError } from "./src/errors.ts";
export type { CodecName } from "./src/dist/mod.ts";
export type { CommittedStep } from "./src/dist/mod.ts";
export type { MemberUsage } from "./src/dist/mod.ts";
export type { RunOutcome } from "./src/dist/mod.ts";

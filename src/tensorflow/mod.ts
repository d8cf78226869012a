/**
 * TensorFlow under Deno: the only folder that imports tfjs.
 *
 * @module
 */

import * as tf from "@tensorflow/tfjs";

export { tf };
export { type BackendInfo, backendInfo, type BackendOptions, compileOnce, initBackend } from "./backend.ts";
export { compile, type CompiledFunction, type CompileOptions, type ExecutionPath } from "./compile.ts";
export { LentVector } from "./lending.ts";
export type { Results } from "./results.ts";
export { RecordingError } from "./recording.ts";
export { TensorFlowError } from "./status.ts";
export { filledVector, gatherRows, statelessUniform, timesSigmoid } from "./ops.ts";

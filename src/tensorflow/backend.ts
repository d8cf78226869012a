/**
 * Starts tfjs with TensorFlow underneath: finds the library, sets threads and devices, registers the kernels.
 *
 * @module
 */

import * as tf from "@tensorflow/tfjs";
import { createRequire } from "node:module";
import type { NodeJSKernelBackend } from "@tensorflow/tfjs-node-gpu/dist/nodejs_kernel_backend.js";
import { RunError } from "../errors.ts";
import { TensorFlowBinding, type TensorMetadata } from "./binding.ts";
import { CompileCache } from "./compile_cache.ts";
import { newContext } from "./context.ts";
import { type Device, findLibrary, gpuNames, LIBRARY_FILE } from "./library.ts";
import { instructionSet, processorFlags, processorName } from "./machine.ts";
import { trimMemory } from "./memory.ts";
import { RecordingError } from "./recording.ts";
import { openTensorFlow } from "./symbols.ts";
import { flagsIn, xlaFlag } from "./xla_flags.ts";

tf.enableProdMode(); // else tfjs prints a banner that advises tfjs-node

/** Options of {@linkcode initBackend}. */
export interface BackendOptions {
  /** "tensorflow", the default, or "cpu": tfjs in plain JavaScript, which needs no download and is slow. */
  backend?: "tensorflow" | "cpu";
  /** Threads that one TensorFlow operation may use, 1 by default. The bits of results depend on it. */
  threads?: number;
  /** Device. By default a GPU where `nvidia-smi` finds one. */
  device?: "cpu" | "gpu";
  /** Which of the machine's GPUs, 0 by default; taken modulo their number. */
  gpu?: number;
  /** Called with progress messages while the library is downloaded. */
  onProgress?: (line: string) => void;
  /** Aborts a download. */
  signal?: AbortSignal;
}

/** The backend, and everything that the bits of results depend on besides the program. */
export interface BackendInfo {
  /** As requested. */
  backend: "tensorflow" | "cpu";
  /** "TensorFlow 2.21.0" or "tfjs 4.22.0 on V8 15.0". */
  version: string;
  /** The kind of device. */
  device: "cpu" | "gpu";
  /** Name of the processor or the GPU, for display; different names can give equal bits. */
  deviceName: string;
  /** Threads that one operation may use. */
  threads: number;
  /** Instruction sets that the bits of a sum depend on: "avx2 fma"; on a GPU its name. */
  instructionSet: string;
  /** The user's `XLA_FLAGS`, which can change bits. */
  xlaFlags: string;
}

/** The backend of tfjs-node's kernels, over our binding. */
export interface TensorFlowBackend extends NodeJSKernelBackend {
  /** Ours. */
  readonly binding: TensorFlowBinding;
}

interface Started {
  options: Required<Pick<BackendOptions, "backend" | "threads">> & Pick<BackendOptions, "device" | "gpu">;
  info: Promise<BackendInfo>;
}

let started: Started | undefined;
let known: BackendInfo | undefined;

/**
 * Makes tfjs ready, once for the whole process: TensorFlow's threads and devices can't be changed later. Called again
 * with the same options it does nothing.
 *
 * @throws {RangeError} for an invalid number of threads
 * @throws {RunError} where TensorFlow is not found and can't be fetched, or was started with other options
 *
 * @example
 * ```ts
 * import { initBackend, tf } from "./mod.ts";
 * await initBackend({ backend: "cpu" });
 * console.assert(tf.add(1, 2).arraySync() === 3);
 * ```
 */
export async function initBackend(options: BackendOptions = {}): Promise<BackendInfo> {
  const { backend = "tensorflow", threads = 1, device, gpu } = options;
  if (!Number.isInteger(threads) || threads < 1) {
    throw new RangeError(`threads is ${threads}, and has to be a whole number from 1 up`);
  }
  const wanted = { backend, threads, device, gpu };
  if (started && JSON.stringify(started.options) !== JSON.stringify(wanted)) {
    const [is, want] = [started.options, wanted].map((some) => JSON.stringify(some));
    throw new RunError(
      `the backend runs with ${is} and can't be changed to ${want}: it is started once per process`,
    );
  }
  started ??= {
    options: wanted,
    info: backend === "cpu" ? startCpu() : startTensorFlow({ ...options, threads }),
  };
  try {
    return known = await started.info;
  } catch (error) {
    started = undefined; // for example no network: it can be tried again
    throw error;
  }
}

/**
 * The running backend.
 *
 * @throws {Error} before {@linkcode initBackend}
 */
export function backendInfo(): BackendInfo {
  if (!known) throw new Error("no backend yet: call await initBackend() first");
  return known;
}

/** The TensorFlow backend, for operations that tfjs lacks and for recording; undefined on another one. */
export function tensorFlowBackend(): TensorFlowBackend | undefined {
  return tf.getBackend() === "tensorflow" ? tf.backend() as TensorFlowBackend : undefined;
}

/** Members of the kernels' backend that are private in TypeScript only, with no public counterpart. */
interface BackendInternals {
  getInputTensorIds(tensors: readonly tf.TensorInfo[]): number[];
  createOutputTensor(metadata: TensorMetadata): tf.Tensor;
  readonly tensorMap: {
    get(dataId: tf.DataId): { id: number; values: tf.backend_util.BackendValues | null };
  };
}

/** The binding's ids of tensors. Tensors whose values are still in JavaScript are uploaded first. */
export function inputIds(tensors: readonly tf.TensorInfo[]): number[] {
  return (tensorFlowBackend() as unknown as BackendInternals).getInputTensorIds(tensors);
}

/** The tfjs tensor for a tensor of the binding. */
export function createOutputTensor(metadata: TensorMetadata): tf.Tensor {
  return (tensorFlowBackend() as unknown as BackendInternals).createOutputTensor(metadata);
}

async function startCpu(): Promise<BackendInfo> {
  await tf.setBackend("cpu");
  return {
    backend: "cpu",
    version: `tfjs ${tf.version["tfjs-core"]} on V8 ${Deno.version.v8}`,
    device: "cpu",
    deviceName: processorName(),
    threads: 1,
    instructionSet: Deno.build.arch,
    xlaFlags: "",
  };
}

async function startTensorFlow(options: BackendOptions & { threads: number }): Promise<BackendInfo> {
  const gpus = options.device === "cpu" ? [] : await gpuNames();
  const device = options.device ?? (gpus.length > 0 ? "gpu" : "cpu");
  const { folder } = await findLibrary(device, options);
  const xlaFlags = flagsIn("XLA_FLAGS"); // the user's only: ours contain a path of this machine
  setEnvironment(device, folder, xlaFlags);
  const gpu = device === "gpu" ? (options.gpu ?? 0) % Math.max(gpus.length, 1) : undefined;
  await openCompileCache(folder, gpu === undefined ? processorFlags() : `${processorFlags()} ${gpus[gpu]}`);
  const context = newContext(openTensorFlow(folder, device), { threads: options.threads, gpu });
  if (device === "gpu" && !context.hasGpu) {
    throw new RunError(
      `TensorFlow in ${folder} sees no GPU ${gpu}; look at nvidia-smi, or compute on the CPU`,
    );
  }
  const binding = new TensorFlowBinding(context);
  await register(binding);
  return {
    backend: "tensorflow",
    version: `TensorFlow ${binding.TF_Version}`,
    device,
    deviceName: gpu === undefined ? processorName() : `${gpus[gpu]} (GPU ${gpu})`,
    threads: options.threads,
    instructionSet: gpu === undefined ? instructionSet() : gpus[gpu],
    xlaFlags: xlaFlags.join(" "),
  };
}

/** Environment variables that TensorFlow reads when its library is opened. The user's settings override ours. */
function setEnvironment(device: Device, folder: string, xlaFlags: readonly string[]): void {
  const defaults: Record<string, string> = {
    TF_CPP_MIN_LOG_LEVEL: "3", // errors are returned anyway, and XLA warns about its own file format at each start
  };
  if (device === "gpu") {
    defaults.NVIDIA_TF32_OVERRIDE = "0"; // float32 products are rounded to 10 bits otherwise
    defaults.TF_DETERMINISTIC_OPS = "1";
    const flags = [
      "--xla_gpu_deterministic_ops=true",
      "--xla_gpu_autotune_level=0", // autotuning may choose another kernel in each process
      "--xla_gpu_enable_triton_gemm=false", // it rounds to 10 bits, too
      xlaFlag("xla_gpu_cuda_data_dir", `${folder}/../nvidia/cuda_nvcc`),
      ...xlaFlags,
    ];
    Deno.env.set("XLA_FLAGS", flags.join(" "));
  }
  for (const [name, value] of Object.entries(defaults)) {
    if (Deno.env.get(name) === undefined) Deno.env.set(name, value);
  }
}

let compileCache: CompileCache | undefined;

/** The cache of compiled code. Its folder depends on the library, the processor and the flags. */
async function openCompileCache(folder: string, processors: string): Promise<void> {
  const { size, mtime } = await Deno.stat(`${folder}/${LIBRARY_FILE}`);
  const flags = flagsIn("XLA_FLAGS").join(" ");
  compileCache = new CompileCache([folder, size, mtime?.getTime(), processors, flags].join(" "));
  await compileCache.open();
  Deno.env.set("TF_XLA_FLAGS", compileCache.addTo(flagsIn("TF_XLA_FLAGS")).join(" "));
}

/**
 * Runs `compile`, which calls functions for the first time: one process of this machine compiles, and others that start meanwhile
 * wait and load its results. Without TensorFlow it just runs.
 */
export async function compileOnce(
  compile: () => Promise<void>,
  options: { signal?: AbortSignal; onWait?: () => void } = {},
): Promise<void> {
  if (!compileCache) return await compile();
  await compileCache.compileOnce(compile, options);
  trimMemory();
}

/** Registers tfjs-node-gpu's kernels on our binding. Its index is not imported: that would load its native addon. */
async function register(binding: TensorFlowBinding): Promise<void> {
  restoreNodeUtil();
  await import("@tensorflow/tfjs-node-gpu/dist/register_all_kernels.js");
  const { NodeJSKernelBackend } = await import("@tensorflow/tfjs-node-gpu/dist/nodejs_kernel_backend.js");
  /** Lets a recorded function read only the values of constants that it made itself. */
  class Backend extends NodeJSKernelBackend {
    #readable = new WeakSet<object>();

    override move(...args: Parameters<NodeJSKernelBackend["move"]>): void {
      if (binding.isRecording) this.#readable.add(args[0]);
      super.move(...args);
    }

    override readSync(dataId: tf.DataId): tf.backend_util.BackendValues {
      if (binding.isRecording && !this.#readable.has(dataId)) {
        throw new RecordingError(
          "a value was read inside a recorded function: it would stay the same at every call. Return the tensor and read it " +
            "after the call, or read it before (tf.gather reads its indices: use gatherRows instead)",
        );
      }
      return super.readSync(dataId);
    }

    override async read(dataId: tf.DataId): Promise<tf.backend_util.BackendValues> {
      const { id, values } = (this as unknown as BackendInternals).tensorMap.get(dataId);
      return values === null && !binding.isRecording ? await binding.tensorData(id) : this.readSync(dataId);
    }
  }
  tf.registerBackend("tensorflow", () => new Backend(binding, "@tensorflow/tfjs-node-gpu"), 3);
  await tf.setBackend("tensorflow");
}

/** Puts back two functions of node:util that Node 23 removed and tfjs-node 4.22 calls. */
function restoreNodeUtil(): void {
  const util: Record<string, unknown> = createRequire(import.meta.url)("node:util");
  util.isNullOrUndefined ??= (value: unknown) => value === undefined || value === null;
  util.isArray ??= Array.isArray;
}

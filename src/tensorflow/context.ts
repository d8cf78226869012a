/**
 * TensorFlow's context: the threads and devices of this process.
 *
 * @module
 */

import { Status } from "./status.ts";
import { type TensorFlowApi, textAt } from "./symbols.ts";

/** Configuration of a context. */
export interface ContextConfig {
  /** Threads that one operation may use. The bits of results depend on it, because sums are split differently. */
  threads: number;
  /** Which of the machine's GPUs to use; without it, none. */
  gpu?: number;
}

/** A `TFE_Context`, with the functions of TensorFlow that act on it. */
export interface Context {
  /** The C API. */
  readonly api: TensorFlowApi;
  /** The `TFE_Context`. */
  readonly pointer: Deno.PointerValue;
  /** For calls on the main thread: one at a time. */
  readonly status: Status;
  /** Whether TensorFlow sees a GPU. */
  readonly hasGpu: boolean;
  /** TensorFlow's name of the device that runs recorded functions. A single operation runs where TensorFlow has a kernel for it. */
  readonly device: string;
}

/** Makes the context, which lives as long as the process. */
export function newContext(api: TensorFlowApi, config: ContextConfig): Context {
  const status = new Status(api);
  const options = api.TFE_NewContextOptions();
  const bytes = configProto(config);
  api.TFE_ContextOptionsSetConfig(options, bytes, BigInt(bytes.length), status.pointer);
  status.check("configuring TensorFlow");
  const pointer = api.TFE_NewContext(options, status.pointer);
  status.check("starting TensorFlow");
  api.TFE_DeleteContextOptions(options);
  const hasGpu = deviceTypes(api, pointer, status).includes("GPU");
  return { api, pointer, status, hasGpu, device: hasGpu ? "/device:GPU:0" : "/device:CPU:0" };
}

/** A varint field of a protocol buffer, for numbers below 2^31. */
function varintField(field: number, value: number): number[] {
  const bytes = [field << 3];
  for (; value >= 0x80; value >>>= 7) bytes.push((value & 0x7f) | 0x80);
  return [...bytes, value];
}

/** A field of a protocol buffer that holds bytes, fewer than 128. */
function bytesField(field: number, bytes: readonly number[]): number[] {
  return [(field << 3) | 2, bytes.length, ...bytes];
}

/** TensorFlow's `ConfigProto`, field numbers as in `tensorflow/core/protobuf/config.proto`. */
export function configProto({ threads, gpu }: ContextConfig): Uint8Array<ArrayBuffer> {
  const text = (value: string) => [...new TextEncoder().encode(value)];
  const devices = gpu === undefined
    ? bytesField(1, [...bytesField(1, text("GPU")), ...varintField(2, 0)]) // device_count: { GPU: 0 }
    : bytesField(6, [...varintField(4, 1), ...bytesField(5, text(`${gpu}`))]); // allow_growth, visible_device_list
  return Uint8Array.from([
    ...devices,
    ...varintField(2, threads), // intra_op_parallelism_threads
    ...varintField(5, 1), // inter_op_parallelism_threads
    ...varintField(7, 1), // allow_soft_placement
  ]);
}

function deviceTypes(api: TensorFlowApi, context: Deno.PointerValue, status: Status): string[] {
  const list = api.TFE_ContextListDevices(context, status.pointer);
  status.check("listing devices");
  const types = Array.from({ length: api.TF_DeviceListCount(list) }, (_, i) => {
    return textAt(api.TF_DeviceListType(list, i, status.pointer));
  });
  api.TF_DeleteDeviceList(list);
  return types;
}

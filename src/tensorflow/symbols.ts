/**
 * The part of TensorFlow's C API that flashmob calls, as a table for `Deno.dlopen`. Names, order and meaning are those
 * of `tensorflow/c/c_api.h`, `tf_tensor.h`, `tf_tstring.h` and `eager/c_api.h`.
 *
 * @module
 */

import { errorMessage, RunError } from "../errors.ts";
import { type Device, FRAMEWORK_FILE, LIBRARY_FILE, SOLVER_FILE } from "./library.ts";

/** `TF_Output`, passed by value: an operation and the index of one of its outputs. */
const OUTPUT = { struct: ["pointer", "i32"] } as const;

/** Every function by its C name. Results of type "void" report through the `TF_Status` that is their last argument. */
const SYMBOLS = {
  TF_Version: { parameters: [], result: "pointer" },

  TF_NewStatus: { parameters: [], result: "pointer" },
  TF_DeleteStatus: { parameters: ["pointer"], result: "void" },
  TF_GetCode: { parameters: ["pointer"], result: "i32" },
  TF_Message: { parameters: ["pointer"], result: "pointer" },

  TF_AllocateTensor: { parameters: ["i32", "buffer", "i32", "usize"], result: "pointer" },
  TF_DeleteTensor: { parameters: ["pointer"], result: "void" },
  TF_TensorData: { parameters: ["pointer"], result: "pointer" },
  TF_TensorByteSize: { parameters: ["pointer"], result: "usize" },
  TF_StringInit: { parameters: ["pointer"], result: "void" },
  TF_StringCopy: { parameters: ["pointer", "buffer", "usize"], result: "void" },
  TF_StringGetDataPointer: { parameters: ["pointer"], result: "pointer" },
  TF_StringGetSize: { parameters: ["pointer"], result: "usize" },

  TFE_NewContextOptions: { parameters: [], result: "pointer" },
  TFE_DeleteContextOptions: { parameters: ["pointer"], result: "void" },
  TFE_ContextOptionsSetConfig: { parameters: ["pointer", "buffer", "usize", "pointer"], result: "void" },
  TFE_NewContext: { parameters: ["pointer", "pointer"], result: "pointer" },
  TFE_ContextListDevices: { parameters: ["pointer", "pointer"], result: "pointer" },
  TFE_ContextAddFunction: { parameters: ["pointer", "pointer", "pointer"], result: "void" },
  TFE_ContextRemoveFunction: { parameters: ["pointer", "buffer", "pointer"], result: "void" },
  TF_DeviceListCount: { parameters: ["pointer"], result: "i32" },
  TF_DeviceListType: { parameters: ["pointer", "i32", "pointer"], result: "pointer" },
  TF_DeleteDeviceList: { parameters: ["pointer"], result: "void" },

  TFE_NewTensorHandle: { parameters: ["pointer", "pointer"], result: "pointer" },
  TFE_DeleteTensorHandle: { parameters: ["pointer"], result: "void" },
  TFE_TensorHandleCopySharingTensor: { parameters: ["pointer", "pointer"], result: "pointer" },
  TFE_TensorHandleResolve: { parameters: ["pointer", "pointer"], result: "pointer" },
  /** `TFE_TensorHandleResolve` on another thread: it waits for a GPU to be through. */
  TFE_TensorHandleResolveNonblocking: {
    name: "TFE_TensorHandleResolve",
    parameters: ["pointer", "pointer"],
    result: "pointer",
    nonblocking: true,
  },
  TFE_TensorHandleDataType: { parameters: ["pointer"], result: "i32" },
  TFE_TensorHandleNumDims: { parameters: ["pointer", "pointer"], result: "i32" },
  TFE_TensorHandleDim: { parameters: ["pointer", "i32", "pointer"], result: "i64" },

  TFE_NewOp: { parameters: ["pointer", "buffer", "pointer"], result: "pointer" },
  TFE_DeleteOp: { parameters: ["pointer"], result: "void" },
  TFE_OpSetDevice: { parameters: ["pointer", "buffer", "pointer"], result: "void" },
  TFE_OpAddInput: { parameters: ["pointer", "pointer", "pointer"], result: "void" },
  TFE_OpSetAttrString: { parameters: ["pointer", "buffer", "buffer", "usize"], result: "void" },
  TFE_OpSetAttrInt: { parameters: ["pointer", "buffer", "i64"], result: "void" },
  TFE_OpSetAttrIntList: { parameters: ["pointer", "buffer", "buffer", "i32"], result: "void" },
  TFE_OpSetAttrFloat: { parameters: ["pointer", "buffer", "f32"], result: "void" },
  TFE_OpSetAttrBool: { parameters: ["pointer", "buffer", "u8"], result: "void" },
  TFE_OpSetAttrType: { parameters: ["pointer", "buffer", "i32"], result: "void" },
  TFE_OpSetAttrShape: { parameters: ["pointer", "buffer", "buffer", "i32", "pointer"], result: "void" },
  TFE_Execute: { parameters: ["pointer", "buffer", "buffer", "pointer"], result: "void" },
  /** `TFE_Execute` on another thread: the call gives a promise, and the event loop continues. */
  TFE_ExecuteNonblocking: {
    name: "TFE_Execute",
    parameters: ["pointer", "buffer", "buffer", "pointer"],
    result: "void",
    nonblocking: true,
  },

  TF_NewGraph: { parameters: [], result: "pointer" },
  TF_DeleteGraph: { parameters: ["pointer"], result: "void" },
  TF_NewOperation: { parameters: ["pointer", "buffer", "buffer"], result: "pointer" },
  TF_FinishOperation: { parameters: ["pointer", "pointer"], result: "pointer" },
  TF_AddInput: { parameters: ["pointer", OUTPUT], result: "void" },
  TF_AddInputList: { parameters: ["pointer", "buffer", "i32"], result: "void" },
  TF_SetAttrString: { parameters: ["pointer", "buffer", "buffer", "usize"], result: "void" },
  TF_SetAttrInt: { parameters: ["pointer", "buffer", "i64"], result: "void" },
  TF_SetAttrIntList: { parameters: ["pointer", "buffer", "buffer", "i32"], result: "void" },
  TF_SetAttrFloat: { parameters: ["pointer", "buffer", "f32"], result: "void" },
  TF_SetAttrBool: { parameters: ["pointer", "buffer", "u8"], result: "void" },
  TF_SetAttrType: { parameters: ["pointer", "buffer", "i32"], result: "void" },
  TF_SetAttrShape: { parameters: ["pointer", "buffer", "buffer", "i32"], result: "void" },
  TF_SetAttrTensor: { parameters: ["pointer", "buffer", "pointer", "pointer"], result: "void" },
  TF_OperationOutputType: { parameters: [OUTPUT], result: "i32" },
  TF_GraphGetTensorNumDims: { parameters: ["pointer", OUTPUT, "pointer"], result: "i32" },
  TF_GraphGetTensorShape: { parameters: ["pointer", OUTPUT, "buffer", "i32", "pointer"], result: "void" },
  TF_GraphSetTensorShape: { parameters: ["pointer", OUTPUT, "buffer", "i32", "pointer"], result: "void" },
  TF_GraphToFunctionWithControlOutputs: {
    parameters: [
      ...["pointer", "buffer", "u8"] as const, // graph, name, whether to append a hash to the name
      ...["i32", "pointer"] as const, // operations: −1 for all
      ...["i32", "buffer", "i32", "buffer", "pointer"] as const, // inputs, outputs, names of the outputs
      ...["i32", "buffer", "pointer"] as const, // operations that run though no output needs them, their names
      ...["pointer", "buffer", "pointer"] as const, // options, description, status
    ],
    result: "pointer",
  },
  TF_DeleteFunction: { parameters: ["pointer"], result: "void" },
} as const satisfies Deno.ForeignLibraryInterface;

/** TensorFlow's C API. */
export type TensorFlowApi = Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];

/**
 * Opens the two libraries in a folder, for as long as the process lives.
 *
 * @throws {RunError} where they are too old, or not for this machine
 */
export function openTensorFlow(folder: string, device: Device): TensorFlowApi {
  const [framework, library] = [`${folder}/${FRAMEWORK_FILE}`, `${folder}/${LIBRARY_FILE}`];
  try {
    if (device === "gpu") Deno.dlopen(`${folder}/${SOLVER_FILE}`, {});
    // The other library needs it, and would look for it elsewhere. While it is opened it greets on standard error,
    // before it reads which messages are wanted.
    withoutStandardError(() => Deno.dlopen(framework, {}));
    const { symbols } = Deno.dlopen(library, SYMBOLS);
    [framework, library].forEach(keepLoaded);
    return symbols;
  } catch (cause) {
    const hint = /\$\{?(ORIGIN|LIB|PLATFORM)/.test(folder)
      ? "; the loader replaces $ORIGIN, $LIB and $PLATFORM in a path: it has to be a folder without them"
      : "";
    throw new RunError(`could not open TensorFlow's libraries in ${folder}: ${errorMessage(cause)}${hint}`, {
      cause,
    });
  }
}

/** The C library's functions that are needed around opening others. */
function openC() {
  return Deno.dlopen("libc.so.6", {
    dup: { parameters: ["i32"], result: "i32" },
    dup2: { parameters: ["i32", "i32"], result: "i32" },
    close: { parameters: ["i32"], result: "i32" },
    open: { parameters: ["buffer", "i32"], result: "i32" },
  }).symbols;
}

/** Runs `body` with standard error going nowhere. */
function withoutStandardError(body: () => void): void {
  const { dup, dup2, close, open } = openC();
  const [STDERR, O_WRONLY] = [2, 1];
  const kept = dup(STDERR);
  const nowhere = open(cString("/dev/null"), O_WRONLY);
  dup2(nowhere, STDERR);
  try {
    body();
  } finally {
    dup2(kept, STDERR);
    [kept, nowhere].forEach((descriptor) => close(descriptor));
  }
}

/**
 * Keeps a library in memory to the end of the process. Deno closes what it opened when it ends, before TensorFlow's own
 * threads and exit handlers are through, which then run into code that is gone.
 */
function keepLoaded(path: string): void {
  const [RTLD_LAZY, RTLD_NODELETE] = [0x1, 0x1000];
  const dlopen = { dlopen: { parameters: ["buffer", "i32"], result: "pointer", optional: true } } as const;
  for (const name of ["libc.so.6", "libdl.so.2"]) { // it moved from the second to the first with glibc 2.34
    const open = Deno.dlopen(name, dlopen).symbols.dlopen;
    if (open?.(cString(path), RTLD_LAZY | RTLD_NODELETE)) return;
  }
}

const encoder = new TextEncoder();
const cStrings = new Map<string, Uint8Array<ArrayBuffer>>();

/** A text as C wants it, kept for the next time: names of operations and attributes come up again and again. */
export function cString(text: string): Uint8Array<ArrayBuffer> {
  let bytes = cStrings.get(text);
  if (!bytes) {
    bytes = encoder.encode(`${text}\0`);
    cStrings.set(text, bytes);
  }
  return bytes;
}

/** The text at a pointer that C gave. */
export function textAt(pointer: Deno.PointerValue): string {
  return pointer === null ? "" : Deno.UnsafePointerView.getCString(pointer);
}

/** Dimensions as C wants them. */
export function int64s(values: readonly number[]): BigInt64Array<ArrayBuffer> {
  return BigInt64Array.from(values, BigInt);
}

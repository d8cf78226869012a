/**
 * tfjs-node's interface to its native addon, `TFJSBinding`, over TensorFlow's C API: with it, all kernels of
 * tfjs-node-gpu run under Deno with nothing to compile. While a function is recorded, operations go into its graph.
 *
 * @module
 */

import type { TFEOpAttr, TFJSBinding } from "@tensorflow/tfjs-node-gpu/dist/tfjs_binding.js";
import { AttributeType, eagerSetters, setAttribute } from "./attributes.ts";
import type { AttributeSetters } from "./attributes.ts";
import type { Context } from "./context.ts";
import type { GraphOutput } from "./graph.ts";
import { type EagerTensor, type RecordedTensor, type Recording, RecordingError } from "./recording.ts";
import { Status } from "./status.ts";
import { cString, textAt } from "./symbols.ts";
import { byteSizeOf, DataType, type InputValues, newTensor, type OutputValues, valuesOf } from "./tensor.ts";

/** A tensor as tfjs sees it: the binding's id, shape, and data type. */
export class TensorMetadata {
  /** The binding's id of the tensor. Never reused. */
  id: number;
  /** Its dimensions. */
  shape: number[];
  /** `TF_DataType`. */
  dtype: number;

  /** The description of one tensor. */
  constructor(id: number, shape: number[], dtype: number) {
    this.id = id;
    this.shape = shape;
    this.dtype = dtype;
  }
}

/** An attribute of an operation; only here because tfjs-node's interface requires the class. */
class OperationAttribute {
  name = "";
  type = 0;
  value: TFEOpAttr["value"] = 0;
}

/** The interface to TensorFlow that tfjs-node's kernels call. */
export class TensorFlowBinding implements TFJSBinding {
  readonly TF_FLOAT = DataType.float32;
  readonly TF_INT32 = DataType.int32;
  readonly TF_INT64 = DataType.int64;
  readonly TF_BOOL = DataType.bool;
  readonly TF_COMPLEX64 = DataType.complex64;
  readonly TF_STRING = DataType.string;
  readonly TF_RESOURCE = DataType.resource;
  readonly TF_UINT8 = DataType.uint8;
  readonly TF_ATTR_STRING = AttributeType.string;
  readonly TF_ATTR_INT = AttributeType.int;
  readonly TF_ATTR_FLOAT = AttributeType.float;
  readonly TF_ATTR_BOOL = AttributeType.bool;
  readonly TF_ATTR_TYPE = AttributeType.type;
  readonly TF_ATTR_SHAPE = AttributeType.shape;
  readonly TF_ATTR_RESOURCE = AttributeType.resource;
  readonly TensorMetadata = TensorMetadata as unknown as TFJSBinding["TensorMetadata"]; // ours has a constructor
  readonly TFEOpAttr = OperationAttribute;
  readonly TF_Version: string;

  readonly #context: Context;
  readonly #setters: AttributeSetters;
  readonly #tensors = new Map<number, EagerTensor | RecordedTensor>();
  #nextId = 1;
  #recording?: Recording;

  /** A binding with no tensors yet. */
  constructor(context: Context) {
    this.#context = context;
    this.#setters = eagerSetters(context.api, context.status);
    this.TF_Version = textAt(context.api.TF_Version());
  }

  /** TensorFlow's context, which holds the tensors. */
  get context(): Context {
    return this.#context;
  }

  /** Whether a function is being recorded. */
  get isRecording(): boolean {
    return this.#recording !== undefined;
  }

  /** Number of tensors, with a value or recorded. */
  getNumOfTensors(): number {
    return this.#tensors.size;
  }

  /** Whether TensorFlow sees a GPU. */
  isUsingGpuDevice(): boolean {
    return this.#context.hasGpu;
  }

  /** Uploads values, with zeros after them if `fill` allows fewer than the shape has. Returns the tensor's id. */
  createTensor(shape: number[], dtype: number, values: InputValues, fill = false): number {
    const { api, status } = this.#context;
    const tensor = newTensor(api, shape, dtype, values, fill);
    const pointer = api.TFE_NewTensorHandle(tensor, status.pointer);
    api.TF_DeleteTensor(tensor);
    status.check("making a tensor");
    return this.#add({ shape, dtype, pointer, madeIn: this.#recording });
  }

  /** Frees a tensor. */
  deleteTensor(id: number): void {
    const tensor = this.#tensors.get(id);
    if (!tensor) return;
    if ("pointer" in tensor) this.#context.api.TFE_DeleteTensorHandle(tensor.pointer);
    this.#tensors.delete(id);
  }

  /** The values of a tensor. Its declared type is narrower than what tfjs-node itself relies on for text and int64. */
  tensorDataSync(id: number): Float32Array | Int32Array | Uint8Array {
    const { pointer, dtype } = this.#readable(id);
    return this.#takeValues(this.#resolve(pointer), dtype);
  }

  /** The same, without blocking the event loop until a GPU has computed them. */
  async tensorData(id: number): Promise<Float32Array | Int32Array | Uint8Array> {
    if (!this.#context.hasGpu) return this.tensorDataSync(id);
    const { pointer, dtype } = this.#readable(id);
    const { api } = this.#context;
    using status = new Status(api); // its own, because other calls run meanwhile
    const kept = api.TFE_TensorHandleCopySharingTensor(pointer, status.pointer); // the tensor may be freed meanwhile
    status.check("reading a tensor");
    try {
      const resolved = await api.TFE_TensorHandleResolveNonblocking(kept, status.pointer);
      status.check("reading a tensor");
      return this.#takeValues(resolved, dtype);
    } finally {
      api.TFE_DeleteTensorHandle(kept);
    }
  }

  /** The values of a float32 tensor without a copy, valid as long as it lives; undefined where they are on a GPU. */
  sharedValues(id: number): Float32Array<ArrayBuffer> | undefined {
    if (this.#context.hasGpu) return undefined;
    const { pointer, shape } = this.#readable(id);
    const { api } = this.#context;
    const resolved = this.#resolve(pointer);
    const data = api.TF_TensorData(resolved);
    api.TF_DeleteTensor(resolved); // the memory is the tensor's, too
    return data
      ? new Float32Array(Deno.UnsafePointerView.getArrayBuffer(data, byteSizeOf(shape, DataType.float32)))
      : undefined;
  }

  /** Runs an operation, or records it. */
  executeOp(name: string, attributes: TFEOpAttr[], inputs: number[], outputs: number): TensorMetadata[] {
    const recording = this.#recording;
    if (!recording) return this.#run(name, attributes, inputs, outputs);
    const places = inputs.map((id) => recording.resolve(id, this.#get(id)));
    return recording.graph.operation(name, attributes, places, outputs).map((output) =>
      this.#addRecorded(output)
    );
  }

  /** Calls `body` with operations going into the recording's graph. */
  record<Result>(recording: Recording, body: () => Result): Result {
    if (this.#recording) throw new RecordingError("a function can't be recorded inside another one");
    this.#recording = recording;
    try {
      return body();
    } finally {
      this.#recording = undefined;
    }
  }

  /** A tensor for an input of the current recording. */
  addInput(input: GraphOutput): TensorMetadata {
    return this.#addRecorded(input);
  }

  /** The tensor with an id. */
  tensor(id: number): EagerTensor | RecordedTensor {
    return this.#get(id);
  }

  /** Takes ownership of a `TFE_TensorHandle`. */
  adopt(pointer: Deno.PointerValue, shape: readonly number[], dtype: number): TensorMetadata {
    return new TensorMetadata(this.#add({ shape: [...shape], dtype, pointer }), [...shape], dtype);
  }

  /** TensorFlow's saved models are not offered: flashmob keeps weights as safetensors. */
  loadSavedModel(): never {
    throw new Error("loading a TensorFlow SavedModel is not supported: load weights with readSafetensors()");
  }
  /** Not offered, see {@linkcode loadSavedModel}. */
  deleteSavedModel(): never {
    return this.loadSavedModel();
  }
  /** Not offered, see {@linkcode loadSavedModel}. */
  runSavedModel(): never {
    return this.loadSavedModel();
  }
  /** None, see {@linkcode loadSavedModel}. */
  getNumOfSavedModels(): number {
    return 0;
  }

  #run(
    name: string,
    attributes: readonly TFEOpAttr[],
    inputs: readonly number[],
    outputs: number,
  ): TensorMetadata[] {
    const { api, pointer, status } = this.#context;
    const op = api.TFE_NewOp(pointer, cString(name), status.pointer);
    status.check(name);
    try {
      for (const id of inputs) {
        api.TFE_OpAddInput(op, this.#value(id).pointer, status.pointer);
        status.check(name);
      }
      for (const attribute of attributes) setAttribute(this.#setters, op, attribute);
      const handles = new BigUint64Array(outputs);
      const count = Int32Array.of(outputs);
      api.TFE_Execute(op, handles, count, status.pointer);
      status.check(name);
      return Array.from(handles.subarray(0, count[0]), (handle) => this.#adoptUnknown(handle));
    } finally {
      api.TFE_DeleteOp(op);
    }
  }

  #adoptUnknown(handle: bigint): TensorMetadata {
    const { api, status } = this.#context;
    const pointer = Deno.UnsafePointer.create(handle);
    const rank = api.TFE_TensorHandleNumDims(pointer, status.pointer);
    const shape: number[] = [];
    for (let i = 0; i < rank; i++) shape.push(Number(api.TFE_TensorHandleDim(pointer, i, status.pointer)));
    return this.adopt(pointer, shape, api.TFE_TensorHandleDataType(pointer));
  }

  #readable(id: number): EagerTensor {
    const tensor = this.#get(id);
    if ("pointer" in tensor) return tensor;
    throw new RecordingError(
      "a value was read inside a recorded function: it has none until the function runs. Return the tensor and read it " +
        "after the call (tf.gather reads its indices: use gatherRows instead)",
    );
  }

  /** The `TF_Tensor` of a tensor: on a CPU it shares the memory. */
  #resolve(pointer: Deno.PointerValue): Deno.PointerValue {
    const { api, status } = this.#context;
    const resolved = api.TFE_TensorHandleResolve(pointer, status.pointer);
    status.check("reading a tensor");
    return resolved;
  }

  /** The values of a `TF_Tensor`, which is freed. */
  #takeValues(tensor: Deno.PointerValue, dtype: number): Float32Array | Int32Array | Uint8Array {
    try {
      const values: OutputValues = valuesOf(this.#context.api, tensor, dtype);
      return values as Float32Array | Int32Array | Uint8Array;
    } finally {
      this.#context.api.TF_DeleteTensor(tensor);
    }
  }

  #add(tensor: EagerTensor | RecordedTensor): number {
    this.#tensors.set(this.#nextId, tensor);
    return this.#nextId++;
  }

  #addRecorded(output: GraphOutput): TensorMetadata {
    const id = this.#add({ ...output, recording: this.#recording! });
    return new TensorMetadata(id, output.shape, output.dtype);
  }

  #get(id: number): EagerTensor | RecordedTensor {
    const tensor = this.#tensors.get(id);
    if (!tensor) throw new Error(`tensor ${id} is not there: it was disposed, or never made`);
    return tensor;
  }

  #value(id: number): EagerTensor {
    const tensor = this.#get(id);
    if ("pointer" in tensor) return tensor;
    throw new RecordingError(
      "a tensor that was made inside a recorded function was used after it: return it from the function as a result",
    );
  }
}

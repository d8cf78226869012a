/**
 * Conversion between JavaScript arrays and `TF_Tensor`, with one copy each way.
 *
 * @module
 */

import { int64s, type TensorFlowApi } from "./symbols.ts";

/** `TF_DataType`, by tfjs's name where it has one. */
export const DataType = {
  float32: 1,
  int32: 3,
  uint8: 4,
  string: 7,
  complex64: 8,
  int64: 9,
  bool: 10,
  resource: 20,
  uint64: 23,
} as const;

/** Values as tfjs passes them: numbers, or one `Uint8Array` per text. */
export type InputValues = ArrayLike<number> | ArrayLike<bigint> | readonly Uint8Array[];
/** Values as TensorFlow returns them. */
export type OutputValues = Float32Array | Int32Array | Uint8Array | BigInt64Array | Uint8Array[];

/** Bytes of a `TF_TString`. */
const STRING_BYTES = 24;

/** The array that holds a data type's values. A complex number is two floats. */
function arrayOf(dtype: number) {
  switch (dtype) {
    case DataType.float32:
    case DataType.complex64:
      return Float32Array;
    case DataType.int32:
      return Int32Array;
    case DataType.uint8:
    case DataType.bool:
    case DataType.resource:
      return Uint8Array;
    default:
      throw new TypeError(`TensorFlow's data type number ${dtype} has no counterpart in tfjs`);
  }
}

/** Number of values of a shape. */
export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, dimension) => product * dimension, 1);
}

/** Bytes of the values of a shape, for every type but text. */
export function byteSizeOf(shape: readonly number[], dtype: number): number {
  if (dtype === DataType.int64 || dtype === DataType.complex64) return 8 * sizeOf(shape);
  return arrayOf(dtype).BYTES_PER_ELEMENT * sizeOf(shape);
}

/** The values as bytes. tfjs passes an int64 as two int32, low word first. */
function bytesOf(values: InputValues, dtype: number): Uint8Array {
  const isBytes = ArrayBuffer.isView(values) &&
    (dtype === DataType.int64 || values instanceof arrayOf(dtype));
  const array = isBytes ? values : arrayOf(dtype).from(values as ArrayLike<number>);
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

/**
 * A new `TF_Tensor` with a copy of the values; free it with `TF_DeleteTensor`.
 *
 * @param fill whether missing values at the end are zeros
 * @throws {RangeError} where the number of values is not that of the shape
 */
export function newTensor(
  api: TensorFlowApi,
  shape: readonly number[],
  dtype: number,
  values: InputValues,
  fill = false,
): Deno.PointerValue {
  if (dtype === DataType.string) return newStringTensor(api, shape, values as readonly Uint8Array[]);
  const bytes = bytesOf(values, dtype);
  const wanted = byteSizeOf(shape, dtype);
  if (bytes.length > wanted || (bytes.length < wanted && !fill)) {
    throw new RangeError(
      `a tensor of shape [${shape}] takes ${wanted} bytes of values, and ${bytes.length} were given`,
    );
  }
  const tensor = api.TF_AllocateTensor(dtype, int64s(shape), shape.length, BigInt(wanted));
  const data = api.TF_TensorData(tensor);
  if (data !== null) {
    const memory = new Uint8Array(Deno.UnsafePointerView.getArrayBuffer(data, wanted));
    memory.set(bytes);
    memory.fill(0, bytes.length);
  }
  return tensor;
}

/** Texts longer than 22 bytes lie outside the tensor and are never freed: TensorFlow's C API has no way to say so. */
function newStringTensor(
  api: TensorFlowApi,
  shape: readonly number[],
  values: readonly Uint8Array[],
): Deno.PointerValue {
  const bytes = BigInt(STRING_BYTES * values.length);
  const tensor = api.TF_AllocateTensor(DataType.string, int64s(shape), shape.length, bytes);
  const data = api.TF_TensorData(tensor);
  if (data === null) return tensor;
  values.forEach((value, i) => {
    const at = Deno.UnsafePointer.offset(data, i * STRING_BYTES);
    api.TF_StringInit(at);
    api.TF_StringCopy(at, Uint8Array.from(value), BigInt(value.length));
  });
  return tensor;
}

/** A copy of the values of a `TF_Tensor` in an array of its type. */
export function valuesOf(api: TensorFlowApi, tensor: Deno.PointerValue, dtype: number): OutputValues {
  const length = Number(api.TF_TensorByteSize(tensor));
  const data = api.TF_TensorData(tensor);
  if (dtype === DataType.string) return stringsAt(api, data, length / STRING_BYTES);
  const bytes = length && data
    ? Deno.UnsafePointerView.getArrayBuffer(data, length).slice(0)
    : new ArrayBuffer(0);
  return dtype === DataType.int64 ? new BigInt64Array(bytes) : new (arrayOf(dtype))(bytes);
}

function stringsAt(api: TensorFlowApi, data: Deno.PointerValue, count: number): Uint8Array[] {
  return Array.from({ length: data === null ? 0 : count }, (_, i) => {
    const at = Deno.UnsafePointer.offset(data!, i * STRING_BYTES);
    const length = Number(api.TF_StringGetSize(at));
    const text = api.TF_StringGetDataPointer(at);
    return new Uint8Array(length && text ? Deno.UnsafePointerView.getArrayBuffer(text, length).slice(0) : []);
  });
}

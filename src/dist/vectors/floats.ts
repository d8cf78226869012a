/**
 * Float32 values as bytes, and back.
 *
 * @module
 */

/** The bytes of float32 values, without a copy. Every platform that TensorFlow runs on is little-endian. */
export function floatBytes(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

/** The float32 values of a payload, copied: a payload need not be aligned. */
export function floatsOf(payload: Uint8Array): Float32Array<ArrayBuffer> {
  const values = new Float32Array(payload.length >> 2);
  floatBytes(values).set(payload.subarray(0, values.byteLength));
  return values;
}

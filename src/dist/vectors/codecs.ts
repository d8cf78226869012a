/**
 * The registry of codecs, and whole vectors encoded and decoded.
 *
 * @module
 */

import { CHUNK, type Feedback, loadFloats, loadValues, storeFloats, valuesIn } from "./kernel.ts";
import { bfloat16 } from "./bfloat16.ts";
import { int8 } from "./int8.ts";
import type { CodecName, VectorCodec } from "./codec.ts";
import { floatBytes } from "./floats.ts";

/** Names of the codecs. */
export const CODEC_NAMES = ["float32", "bfloat16", "int8"] as const satisfies CodecName[];

/** Lossless: the bytes of the values. */
const float32: VectorCodec = {
  name: "float32",
  isExact: true,
  hasFeedback: false,
  byteLength: (count) => 4 * count,
  store: (slot, bytes, _values, from) => storeFloats(slot, bytes.subarray(4 * from, 4 * (from + CHUNK))),
  load: (bytes, _values, from, slot) => loadFloats(bytes.subarray(4 * from, 4 * (from + CHUNK)), slot),
};

/** Encodes a vector, into {@linkcode VectorCodec.byteLength} bytes. */
export function encode(
  codec: VectorCodec,
  values: Float32Array,
  into: Uint8Array,
  feedback?: Feedback,
): void {
  if (codec.isExact) return into.set(floatBytes(values));
  for (let from = 0; from < values.length; from += CHUNK) {
    loadValues(values.subarray(from, from + CHUNK), 0);
    codec.store(0, into, values.length, from, feedback);
  }
}

/** Decodes a vector, of as many values as `into` has. */
export function decode(codec: VectorCodec, bytes: Uint8Array, into: Float32Array): void {
  if (codec.isExact) return floatBytes(into).set(bytes);
  for (let from = 0; from < into.length; from += CHUNK) {
    codec.load(bytes, into.length, from, 0);
    into.set(valuesIn(0, Math.min(CHUNK, into.length - from)), from);
  }
}

const CODECS: Readonly<Record<CodecName, VectorCodec>> = { float32, bfloat16, int8 };

/**
 * The codec of a name.
 *
 * @example
 * ```ts
 * import { codecOf, decode, encode } from "./codecs.ts";
 * const codec = codecOf("bfloat16");
 * const bytes = new Uint8Array(codec.byteLength(2)), values = new Float32Array(2);
 * encode(codec, new Float32Array([1.5, 1 / 3]), bytes);
 * decode(codec, bytes, values);
 * console.assert(values[0] === 1.5 && Math.abs(values[1] - 1 / 3) < 2 ** -10);
 * ```
 */
export function codecOf(name: CodecName): VectorCodec {
  return CODECS[name];
}

/**
 * How float32 vectors are written on the wire. Encoding and decoding are pure functions: the same values give the same
 * bytes on every machine, because the arithmetic is float32 with one defined rounding.
 *
 * @module
 */

import { floatBytes } from "../protocol/frames.ts";
import { type Carried, CHUNK, loadFloats, loadValues, storeFloats, valuesIn } from "./kernel.ts";
import { bfloat16 } from "./bfloat16.ts";
import { type Dither, int8 } from "./int8.ts";

/** Name of a codec. */
export type CodecName = "float32" | "bfloat16" | "int8";

/** Names of the codecs. */
export const CODEC_NAMES = ["float32", "bfloat16", "int8"] as const satisfies CodecName[];

/** What an encoding depends on besides the values. */
export interface Encoding {
  /** What is carried from step to step, where the codec has feedback. */
  feedback?: Carried;
  /** Rounds stochastically; only int8 does, others round to nearest. */
  dither?: Dither;
}

/** A way to write float32 values, a chunk of the kernel at a time. */
export interface VectorCodec {
  /** Its name. */
  readonly name: CodecName;
  /** Whether it writes the bytes of the values. */
  readonly isExact: boolean;
  /** Whether what encoding loses is made up for in the next step, see feedback_encoder.ts. */
  readonly hasFeedback: boolean;
  /** Bytes of so many values. */
  byteLength(values: number): number;
  /**
   * Writes one chunk of values from a slot of the kernel, which may hold others then.
   *
   * @param bytes of all values, {@linkcode VectorCodec.byteLength}; need not be aligned
   * @param values how many they are
   * @param from the first value of the chunk, a multiple of its size
   */
  store(slot: number, bytes: Uint8Array, values: number, from: number, encoding?: Encoding): void;
  /** Reads one chunk of values into a slot of the kernel; parameters as for {@linkcode VectorCodec.store}. */
  load(bytes: Uint8Array, values: number, from: number, slot: number): void;
}

/** Exact: the bytes of the values. */
const float32: VectorCodec = {
  name: "float32",
  isExact: true,
  hasFeedback: false,
  byteLength: (count) => 4 * count,
  store: (slot, bytes, _values, from) => storeFloats(slot, bytes.subarray(4 * from, 4 * (from + CHUNK))),
  load: (bytes, _values, from, slot) => loadFloats(bytes.subarray(4 * from, 4 * (from + CHUNK)), slot),
};

/** Writes values. */
export function encode(
  codec: VectorCodec,
  values: Float32Array,
  into: Uint8Array,
  encoding?: Encoding,
): void {
  if (codec.isExact) return into.set(floatBytes(values));
  for (let from = 0; from < values.length; from += CHUNK) {
    loadValues(values.subarray(from, from + CHUNK), 0);
    codec.store(0, into, values.length, from, encoding);
  }
}

/** Reads values. */
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

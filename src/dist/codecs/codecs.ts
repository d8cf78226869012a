/**
 * How float32 vectors are written on the wire. Encoding and decoding are pure functions: the same values give the same
 * bytes on every machine, because the arithmetic is float32 with one defined rounding.
 *
 * @module
 */

import { floatBytes } from "../frames.ts";
import { bfloat16 } from "./bfloat16.ts";
import { type Dither, int8 } from "./int8.ts";
import { CHUNK, loadFloats } from "../kernel.ts";

/** Name of a codec. */
export type CodecName = "float32" | "bfloat16" | "int8";

/** Names of the codecs. */
export const CODEC_NAMES = ["float32", "bfloat16", "int8"] as const satisfies CodecName[];

/** What an encoding of values carries along, and where it notes what it loses, in units of the mean. */
export interface Feedback {
  /** Added to the values, times the tokens. Without it nothing is added, and `pending` is added to. */
  settled?: Float32Array;
  /** Gets what is lost, divided by the tokens. */
  pending: Float32Array;
  /** Of the batch that the values are a sum over. */
  tokens: number;
}

/** A way to write float32 values. */
export interface VectorCodec {
  /** Its name. */
  readonly name: CodecName;
  /** Whether what encoding loses is made up for in the next step, see feedback_encoder.ts. */
  readonly hasFeedback: boolean;
  /** Bytes of so many values. */
  byteLength(values: number): number;
  /**
   * Writes values; the bytes may be a view of them.
   *
   * @param feedback where the codec has it: what is carried is added to the values, what is lost is noted
   * @param dither rounds stochastically; only int8 does, others round to nearest
   */
  encode(values: Float32Array, feedback?: Feedback, dither?: Dither): Uint8Array;
  /**
   * Reads values.
   *
   * @param bytes as many as {@linkcode VectorCodec.byteLength} says for the values that `into` holds; need not be aligned
   */
  decode(bytes: Uint8Array, into: Float32Array): void;
  /**
   * Reads one chunk of values into a slot of the kernel.
   *
   * @param bytes of all values
   * @param values how many they are
   * @param from the first value of the chunk, a multiple of its size
   */
  load(bytes: Uint8Array, values: number, from: number, slot: number): void;
}

/** Exact: the bytes of the values. */
const float32: VectorCodec = {
  name: "float32",
  hasFeedback: false,
  byteLength: (count) => 4 * count,
  encode: (values) => floatBytes(values),
  decode: (bytes, into) => floatBytes(into).set(bytes),
  load: (bytes, _values, from, slot) => loadFloats(bytes.subarray(4 * from, 4 * (from + CHUNK)), slot),
};

const CODECS: Readonly<Record<CodecName, VectorCodec>> = { float32, bfloat16, int8 };

/**
 * The codec of a name.
 *
 * @example
 * ```ts
 * import { codecOf } from "./codecs.ts";
 * const codec = codecOf("bfloat16");
 * const values = new Float32Array(2);
 * codec.decode(codec.encode(new Float32Array([1.5, 1 / 3])), values);
 * console.assert(values[0] === 1.5 && Math.abs(values[1] - 1 / 3) < 2 ** -10);
 * ```
 */
export function codecOf(name: CodecName): VectorCodec {
  return CODECS[name];
}

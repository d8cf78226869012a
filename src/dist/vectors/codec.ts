/**
 * What a codec is: a way to write float32 vectors on the wire. Encoding and decoding are pure functions: the same values give the
 * same bytes on every machine, because the arithmetic is float32 with one defined rounding.
 *
 * @module
 */

import type { Carried } from "./kernel.ts";

/** Name of a codec. */
export type CodecName = "float32" | "bfloat16" | "int8";

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
   * @param feedback what is carried from step to step, where the codec has feedback
   */
  store(slot: number, bytes: Uint8Array, values: number, from: number, feedback?: Carried): void;
  /** Reads one chunk of values into a slot of the kernel; parameters as for {@linkcode VectorCodec.store}. */
  load(bytes: Uint8Array, values: number, from: number, slot: number): void;
}

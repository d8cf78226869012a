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
  /** Name in the configuration. */
  readonly name: CodecName;
  /** Whether it is lossless: it writes the bytes of the values. */
  readonly isExact: boolean;
  /** Whether its encoding errors are added to the next step (error feedback, error_feedback.ts). */
  readonly hasFeedback: boolean;
  /** Encoded size of `values` values. */
  byteLength(values: number): number;
  /**
   * Encodes one chunk of values from a slot of the kernel; the slot's content is undefined afterwards.
   *
   * @param bytes encoding of all values, of {@linkcode VectorCodec.byteLength}; need not be aligned
   * @param values number of values of the vector
   * @param from the first value of the chunk, a multiple of its size
   * @param feedback residuals, where the codec has error feedback
   */
  store(slot: number, bytes: Uint8Array, values: number, from: number, feedback?: Carried): void;
  /** Decodes one chunk of values into a slot of the kernel; parameters as for {@linkcode VectorCodec.store}. */
  load(bytes: Uint8Array, values: number, from: number, slot: number): void;
}

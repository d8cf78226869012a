/**
 * The interface of a codec, which writes float32 vectors on the wire. Encoding and decoding are pure functions: the same values give
 * the same bytes on every machine, because the arithmetic is float32 with one defined rounding.
 *
 * @module
 */

import type { Feedback } from "./kernel.ts";

/** Name of a codec. */
export type CodecName = "float32" | "bfloat16" | "int8";

/** A way to write float32 values, a chunk of the kernel at a time. */
export interface VectorCodec {
  /** Name in the configuration. */
  readonly name: CodecName;
  /** Whether it is lossless: it writes the bytes of the values. */
  readonly isExact: boolean;
  /** Whether it takes error feedback, see error_feedback.ts. */
  readonly hasFeedback: boolean;
  /** Bytes of n values. */
  byteLength(values: number): number;
  /**
   * Writes one chunk of a vector from a slot of the kernel, which it may overwrite.
   *
   * @param bytes of the whole vector, {@linkcode VectorCodec.byteLength}; need not be aligned
   * @param values length of the vector
   * @param from index of the chunk's first value, a multiple of the chunk's size
   * @param feedback residuals of the whole vector, where the codec has feedback
   */
  store(slot: number, bytes: Uint8Array, values: number, from: number, feedback?: Feedback): void;
  /** Reads one chunk of a vector into a slot of the kernel; parameters as for {@linkcode VectorCodec.store}. */
  load(bytes: Uint8Array, values: number, from: number, slot: number): void;
}

/**
 * Encoding into new memory.
 *
 * @module
 */

import { encode } from "../../../src/dist/vectors/codecs.ts";
import type { FeedbackEncoder } from "../../../src/dist/vectors/error_feedback.ts";
import type { VectorCodec } from "../../../src/dist/vectors/codec.ts";
import type { Feedback } from "../../../src/dist/vectors/kernel.ts";

/** Bytes with something in them, since what is encoded is written over other messages. */
function used(length: number): Uint8Array {
  return new Uint8Array(length).fill(0xa5);
}

/** The bytes of values. */
export function encodedBy(codec: VectorCodec, values: Float32Array, feedback?: Feedback): Uint8Array {
  const bytes = used(codec.byteLength(values.length));
  encode(codec, values, bytes, feedback);
  return bytes;
}

/** The bytes of a part of a sum; parameters as in {@linkcode FeedbackEncoder.encode}. */
export function encodedWith(
  encoder: FeedbackEncoder,
  part: number,
  values: Float32Array,
  tokens: number,
  name: string,
): Uint8Array {
  const bytes = used(encoder.codec.byteLength(values.length));
  encoder.encode(part, values, tokens, name, bytes);
  return bytes;
}

/**
 * Micro-batches as the model takes them.
 *
 * @module
 */

import { crc32 } from "node:zlib";
import type { MicroBatch } from "../../data/microbatch.ts";
import type { Batch } from "../../model/training.ts";
import { tf } from "../../tensorflow/mod.ts";

/** A micro-batch of zeros in which no token counts. */
export function emptyBatch(shape: [number, number], masked: boolean): MicroBatch {
  const size = shape[0] * shape[1];
  const mask = masked ? new Uint8Array(size).fill(1) : undefined;
  return { ids: new Int32Array(size), labels: new Int32Array(size).fill(-1), mask, shape };
}

/** A micro-batch as tensors, which are the caller's. */
export function tensorsOf({ ids, labels, mask, shape }: MicroBatch): Batch {
  return {
    ids: tf.tensor2d(ids, shape, "int32"),
    labels: tf.tensor2d(labels, shape, "int32"),
    mask: mask && tf.tensor2d(mask, shape, "bool"),
  };
}

/** CRC-32 of the ids as they were fed to the model. */
export function crcOf({ ids }: MicroBatch): number {
  return crc32(new Uint8Array(ids.buffer, ids.byteOffset, ids.byteLength));
}

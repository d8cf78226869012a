/**
 * The configuration that TensorFlow starts with, byte by byte; that for a GPU can't be tried where there is none.
 *
 * @module
 */

import assert from "node:assert/strict";
import { configProto } from "../../src/tensorflow/context.ts";

const text = (value: string) => [...new TextEncoder().encode(value)];

Deno.test("configProto() without a GPU sets threads and hides the GPUs", () => {
  const noGpu = [0x0a, 7, 0x0a, 3, ...text("GPU"), 0x10, 0]; // device_count { key: "GPU" value: 0 }
  const threads = [0x10, 4, 0x28, 1]; // intra_op_parallelism_threads, inter_op_parallelism_threads
  assert.deepEqual([...configProto({ threads: 4 })], [...noGpu, ...threads, 0x38, 1]);
});

Deno.test("configProto() with a GPU shows only that one and lets its memory grow", () => {
  const options = [0x20, 1, 0x2a, 1, ...text("2")]; // allow_growth, visible_device_list
  assert.deepEqual([...configProto({ threads: 1, gpu: 2 })], [
    0x32,
    5,
    ...options,
    0x10,
    1,
    0x28,
    1,
    0x38,
    1,
  ]);
});

Deno.test("configProto() writes numbers above 127 in several bytes", () => {
  assert.deepEqual([...configProto({ threads: 300 })].slice(9, 12), [0x10, 0xac, 0x02]);
});

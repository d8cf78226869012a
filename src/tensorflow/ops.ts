/**
 * Operations that tfjs lacks, or has in a form that reads values and so can't be recorded.
 *
 * @module
 */

import * as tf from "@tensorflow/tfjs";
import type { TFEOpAttr } from "@tensorflow/tfjs-node-gpu/dist/tfjs_binding.js";
import { philox } from "../prng.ts";
import { AttributeType } from "./attributes.ts";
import { createOutputTensor, inputIds, tensorFlowBackend } from "./backend.ts";
import { DataType } from "./tensor.ts";

/** `RNG_PHILOX` in TensorFlow's `rng_alg.h`. */
const PHILOX = 1;

/**
 * Rows of a table by their numbers, with a gradient for the table: `table` [v, d], `ids` [...] int32, gives [..., d].
 * It is `tf.gather` without the look at the ids, which could not be recorded.
 *
 * Ids have to be from 0 to v − 1. A function that runs compiled does not check that, and takes the nearest row instead:
 * check ids where they come from.
 *
 * @example
 * ```ts
 * import { gatherRows } from "./ops.ts";
 * import { tf } from "./mod.ts";
 * const rows = gatherRows(tf.tensor2d([[1, 2], [3, 4]]), tf.tensor1d([1, 1, 0], "int32"));
 * console.assert(rows.shape[0] === 3 && rows.dataSync()[0] === 3);
 * ```
 */
export function gatherRows(table: tf.Tensor, ids: tf.Tensor): tf.Tensor {
  if (table.rank !== 2) throw new TypeError(`gatherRows() takes a table [v, d], and it is [${table.shape}]`);
  if (ids.dtype !== "int32") {
    throw new TypeError(`gatherRows() takes ids of type int32, and they are ${ids.dtype}`);
  }
  const backend = tensorFlowBackend();
  if (!backend) return tf.gather(table, ids as tf.Tensor1D);
  const [v, d] = table.shape;
  const gather = tf.customGrad((table, save) => {
    const attributes = types({ Tparams: DataType.float32, Tindices: DataType.int32, Taxis: DataType.int32 });
    const inputs = [table as tf.Tensor, ids, tf.scalar(0, "int32")];
    (save as tf.GradSaveFunc)([ids]);
    return {
      value: backend.executeSingleOutput("GatherV2", [...attributes, int("batch_dims", 0)], inputs),
      gradFunc(dy: tf.Tensor, [ids]: tf.Tensor[]) {
        return tf.unsortedSegmentSum(tf.reshape(dy, [-1, d]), tf.reshape(ids, [-1]), v);
      },
    };
  });
  return tf.tidy(() => gather(table));
}

/**
 * Numbers uniform in [0, 1) that are a function of shape and seed alone: the same ones on every backend, eager, recorded
 * or compiled. TensorFlow's `stateless_random_uniform` with its Philox algorithm gives them too.
 *
 * @param seed two int32 numbers, as a tensor [2] where they are the input of a recorded function
 *
 * @example
 * ```ts
 * import { statelessUniform } from "./ops.ts";
 * const [once, again] = [1, 2].map(() => statelessUniform([4], [7, 1]).dataSync());
 * console.assert(once.every((value, i) => value === again[i]));
 * ```
 */
export function statelessUniform(
  shape: readonly number[],
  seed: tf.Tensor1D | readonly [number, number],
): tf.Tensor {
  return tf.tidy(() => {
    const seedTensor = seed instanceof tf.Tensor ? seed : tf.tensor1d([...seed], "int32");
    return tensorFlowBackend() ? uniformByTensorFlow(shape, seedTensor) : uniformByPhilox(shape, seedTensor);
  });
}

/** The key and the counter are of a type that tfjs does not know, so they stay ids of the binding. */
function uniformByTensorFlow(shape: readonly number[], seed: tf.Tensor1D): tf.Tensor {
  const { binding } = tensorFlowBackend()!;
  const [seedId, shapeId, algorithmId] = inputIds([
    seed,
    tf.tensor1d([...shape], "int32"),
    tf.scalar(PHILOX, "int32"),
  ]);
  const keyTypes = types({ Tseed: DataType.int32 });
  const [key, counter] = binding.executeOp("StatelessRandomGetKeyCounter", keyTypes, [seedId], 2);
  const inputs = [shapeId, key.id, counter.id, algorithmId];
  const uniformTypes = types({ dtype: DataType.float32, Tshape: DataType.int32 });
  const [uniform] = binding.executeOp("StatelessRandomUniformV2", uniformTypes, inputs, 1);
  for (const { id } of [key, counter]) binding.deleteTensor(id);
  return createOutputTensor(uniform);
}

/** What TensorFlow does, step by step, in JavaScript. */
function uniformByPhilox(shape: readonly number[], seed: tf.Tensor1D): tf.Tensor {
  const [a, b] = seed.dataSync();
  const block = new Uint32Array(4);
  const high = (word: number) => word < 0 ? 0xffffffff : 0; // seeds are extended to 64 bits
  philox([a >>> 0, high(a), b >>> 0, high(b)], [0x3ec8f720, 0x02461e29], block);
  const key = [block[0], block[1]], counter = [0, 0, block[2], block[3]];
  const values = new Float32Array(shape.reduce((product, dimension) => product * dimension, 1));
  for (let i = 0; i < values.length; i++) {
    if (i % 4 === 0) {
      philox(counter, key, block);
      counter[0]++;
    }
    values[i] = (block[i % 4] & 0x7fffff) / 0x800000;
  }
  return tf.tensor(values, [...shape]);
}

function types(byName: Record<string, number>): TFEOpAttr[] {
  return Object.entries(byName).map(([name, value]) => ({ name, type: AttributeType.type, value }));
}

function int(name: string, value: number): TFEOpAttr {
  return { name, type: AttributeType.int, value };
}

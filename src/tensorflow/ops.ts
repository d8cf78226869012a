/**
 * Operations that tfjs lacks, or has only in a form that reads values and can't be recorded.
 *
 * @module
 */

import * as tf from "@tensorflow/tfjs";
import type { TFEOpAttr } from "@tensorflow/tfjs-node-gpu/dist/tfjs_binding.js";
import { philox } from "../prng.ts";
import { AttributeType, typeAttributes } from "./attributes.ts";
import { createOutputTensor, inputIds, type TensorFlowBackend, tensorFlowBackend } from "./backend.ts";
import { DataType, sizeOf } from "./tensor.ts";

/** The bits of a random word that a number is made of, as many as a float32's fraction has. */
const LOW_BITS = 0x7fffff;
/** `RNG_PHILOX` in TensorFlow's `rng_alg.h`. */
const PHILOX = 1;

/**
 * Rows of a table by index, differentiable by the table: `table` [v, d], `ids` [...] int32, gives [..., d]. It is `tf.gather`
 * without reading the ids, so that it can be recorded.
 *
 * Ids must be from 0 to v − 1. Compiled functions and GPUs do not check that, and take the nearest row instead: check ids before.
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
    const attributes = typeAttributes({
      Tparams: DataType.float32,
      Tindices: DataType.int32,
      Taxis: DataType.int32,
    });
    const inputs = [table as tf.Tensor, ids, tf.scalar(0, "int32")];
    (save as tf.GradSaveFunc)([ids]);
    return {
      value: backend.executeSingleOutput("GatherV2", [...attributes, int("batch_dims", 0)], inputs),
      gradFunc(dy: tf.Tensor, [ids]: tf.Tensor[]) {
        const rows = tf.reshape(dy, [-1, d]) as tf.Tensor2D, flat = tf.reshape(ids, [-1]) as tf.Tensor1D;
        return backend.binding.isUsingGpuDevice()
          ? sumByProduct(rows, flat, v)
          : tf.unsortedSegmentSum(rows, flat, v);
      },
    };
  });
  return tf.tidy(() => gather(table));
}

/**
 * Segment sums: rows [n, d] with the same id [n] are added, [v, d]. On a GPU every other deterministic way adds one row after the
 * other, 16 microseconds each on an H200.
 */
function sumByProduct(rows: tf.Tensor2D, ids: tf.Tensor1D, v: number): tf.Tensor {
  const isThere = tf.equal(tf.reshape(tf.range(0, v, 1, "int32"), [v, 1]), tf.reshape(ids, [1, -1])); // [v, n]
  return tf.matMul(tf.cast(isThere, "float32") as tf.Tensor2D, rows);
}

/**
 * Numbers uniform in [0, 1) that are a function of shape and seed alone: the same ones on every backend, eager, recorded
 * or compiled. They are made of the words of Philox4x32-10 with the seed as key, counted from 0.
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
    const backend = tensorFlowBackend();
    return backend ? uniformByTensorFlow(backend, shape, seedTensor) : uniformByPhilox(shape, seedTensor);
  });
}

/**
 * TensorFlow's own `stateless_random_uniform` gives different numbers in XLA and in its CPU kernels, which derive different keys
 * from the seed and use different bits of each word. The words are the same for the same key, so key and bits are chosen here.
 * Key and counter have a data type that tfjs lacks, so they stay ids of the binding.
 */
function uniformByTensorFlow(
  backend: TensorFlowBackend,
  shape: readonly number[],
  seed: tf.Tensor1D,
): tf.Tensor {
  const { binding } = backend;
  const tensors = [
    seed,
    tf.tensor1d([0], "int32"),
    tf.tensor1d([0, 0], "int32"),
    tf.tensor1d([...shape], "int32"),
  ];
  const [seedId, firstId, zerosId, shapeId, algorithmId] = inputIds([...tensors, tf.scalar(PHILOX, "int32")]);
  const run = (name: string, byName: Record<string, number>, inputs: number[]) =>
    binding.executeOp(name, typeAttributes(byName), inputs, 1)[0];
  const whole = run("Bitcast", { T: DataType.int32, type: DataType.uint64 }, [seedId]);
  const key = run("ExpandDims", { T: DataType.uint64, Tdim: DataType.int32 }, [whole.id, firstId]);
  const counter = run("Cast", { SrcT: DataType.int32, DstT: DataType.uint64 }, [zerosId]);
  const wordTypes = { dtype: DataType.int32, Tshape: DataType.int32 };
  const words = run("StatelessRandomUniformFullIntV2", wordTypes, [shapeId, key.id, counter.id, algorithmId]);
  for (const { id } of [whole, key, counter]) binding.deleteTensor(id);
  const operands = [createOutputTensor(words), tf.scalar(LOW_BITS, "int32")];
  const low = backend.executeSingleOutput("BitwiseAnd", typeAttributes({ T: DataType.int32 }), operands);
  return tf.mul(tf.cast(low, "float32"), 1 / (LOW_BITS + 1));
}

/** The same in JavaScript. */
function uniformByPhilox(shape: readonly number[], seed: tf.Tensor1D): tf.Tensor {
  const key = Uint32Array.from(seed.dataSync()); // modulo 2^32
  const block = new Uint32Array(4);
  const values = new Float32Array(sizeOf(shape));
  for (let i = 0; i < values.length; i++) {
    if (i % 4 === 0) philox([i / 4, 0, 0, 0], key, block);
    values[i] = (block[i % 4] & LOW_BITS) / (LOW_BITS + 1);
  }
  return tf.tensor(values, [...shape]);
}

/**
 * x · sigmoid(y), computed as the quotient x / (exp(−y) + 1), for x and y of one shape. It is one operation, because
 * TensorFlow compiles each exponential or hyperbolic tangent for XLA separately, which takes 5 ms at every start. It has
 * no gradient.
 *
 * @example
 * ```ts
 * import { timesSigmoid } from "./ops.ts";
 * import { tf } from "./mod.ts";
 * console.assert(timesSigmoid(tf.tensor1d([3]), tf.tensor1d([0])).dataSync()[0] === 1.5);
 * ```
 */
export function timesSigmoid(x: tf.Tensor, y: tf.Tensor): tf.Tensor {
  const backend = tensorFlowBackend();
  return backend
    ? backend.executeSingleOutput("SoftplusGrad", typeAttributes({ T: DataType.float32 }), [x, y])
    : tf.div(x, tf.add(tf.exp(tf.neg(y)), 1));
}

/**
 * A vector padded with zeros to a length.
 *
 * @throws {RangeError} where there are more values
 *
 * @example
 * ```ts
 * import { filledVector } from "./ops.ts";
 * console.assert(filledVector(Float32Array.of(1, 2), 4).dataSync().join() === "1,2,0,0");
 * ```
 */
export function filledVector(values: Float32Array, length: number): tf.Tensor1D {
  const backend = tensorFlowBackend();
  if (!backend) {
    const filled = new Float32Array(length);
    filled.set(values);
    return tf.tensor1d(filled);
  }
  const id = backend.binding.createTensor([length], DataType.float32, values, true);
  return createOutputTensor({ id, shape: [length], dtype: DataType.float32 }) as tf.Tensor1D;
}

function int(name: string, value: number): TFEOpAttr {
  return { name, type: AttributeType.int, value };
}

/**
 * Time per generated token of the model of FLASH-pytorch's train.py, with random weights: at once after a short prompt and
 * after a long one, and of the matrix products alone.
 *
 * deno run -A tests/bench/generate.ts [threads]
 *
 * @module
 */

import { FLASHTransformer, generate, initBackend } from "../../mod.ts";
import { compile, tf } from "../../src/tensorflow/mod.ts";

const threads = Number(Deno.args[0] ?? navigator.hardwareConcurrency);
const TOKENS = 300;

await initBackend({ threads });
const model = new FLASHTransformer({ numTokens: 256, dim: 512, depth: 8, causal: true, laplaceAttnFn: true });

/** In milliseconds; the fastest tenth is what other processes disturbed least. */
function summary(what: string, times: number[]) {
  const sorted = times.toSorted((a, b) => a - b);
  const mean = times.reduce((sum, time) => sum + time) / times.length;
  const at = (share: number) => sorted[Math.floor(share * times.length)];
  return { what, "tenth ms": at(0.1), "median ms": at(0.5), "mean ms": mean, "per second": 1000 / mean };
}

async function tokenTimes(promptLength: number): Promise<number[]> {
  const prompt = Array.from({ length: promptLength }, (_, i) => (i * 7919) % 256);
  const times: number[] = [];
  let before = performance.now();
  for await (const _ of generate(model, prompt, { tokens: TOKENS + 2 })) {
    const now = performance.now();
    times.push(now - before);
    before = now;
  }
  return times.slice(2); // the first reads the prompt, the second compiles
}

/** One product of a vector by every matrix of the model. */
async function productTimes(): Promise<number[]> {
  const matrices = Object.values(model.parameters).filter((tensor) =>
    tensor.rank === 2 && tensor.size > 1024
  );
  const inputs = matrices.map((matrix) => tf.ones([1, matrix.shape[1]!]));
  const products = compile((...tensors: tf.Tensor[]) =>
    matrices.map((_, i) =>
      tf.matMul(tensors[matrices.length + i] as tf.Tensor2D, tensors[i] as tf.Tensor2D, false, true)
    )
  );
  const times: number[] = [];
  for (let i = 0; i < TOKENS; i++) {
    const before = performance.now();
    tf.dispose([...await products(...matrices, ...inputs)]);
    times.push(performance.now() - before);
  }
  return times.slice(1);
}

const rows = [];
for (const prompt of [512, 16384, 512, 16384]) {
  rows.push(summary(`a token after ${prompt}`, await tokenTimes(prompt)));
}
rows.push(summary("products alone", await productTimes()));
console.table(rows);

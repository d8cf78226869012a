/**
 * Times the matrix products of one training step of FLASH-pytorch's train.py model (dim 512, depth 8) alone: the same shapes,
 * the same library, flags and threads, one compiled function per shape. What the step takes beyond them is there to be won.
 *
 *     deno run -A tests/bench/products.ts [--batch 1] [--seq 1024] [--threads 2] [--rounds 8]
 *
 * @module
 */

import { type Command, HELP_FLAG, wholeFrom } from "../../src/cli/arguments.ts";
import { compile, initBackend, tf } from "../../src/tensorflow/mod.ts";
import { scriptArguments } from "../support/script.ts";

const PRODUCTS: Command = {
  usage: [["deno run -A tests/bench/products.ts [options]", "times the products of a training step"]],
  positional: [],
  short: {},
  flags: [
    { name: "batch", value: "N", text: "Sequences. Default 1.", number: wholeFrom(1) },
    { name: "seq", value: "N", text: "Tokens of a sequence. Default 1024.", number: wholeFrom(1) },
    { name: "threads", value: "N", text: "Default 2.", number: wholeFrom(1) },
    { name: "rounds", value: "N", text: "Default 8.", number: wholeFrom(1) },
    HELP_FLAG,
  ],
};

/** A product of two batches of matrices, [b, m, k] by [b, k, n], and how often a step has it. */
interface Product {
  shape: readonly [b: number, m: number, k: number, n: number];
  count: number;
}

/** Of model, hidden, query/key, group and vocabulary. */
const [D, E, S, C, V, DEPTH] = [512, 1024, 128, 256, 256, 8];

/** A product's two gradients are products with the same three dimensions in other places. */
function withGradients([b, m, k, n]: Product["shape"], count: number): Product[] {
  return [{ shape: [b, m, k, n], count }, { shape: [b, m, n, k], count }, { shape: [b, k, m, n], count }];
}

/** The products of a step over some sequences. */
function productsOf(batch: number, seq: number): Product[] {
  const rows = batch * seq, groups = rows / C;
  const others = groups - batch; // a sequence's first group has none before it, its last one none behind
  return [
    ...withGradients([1, rows, D, E], 2 * DEPTH), // value and gate
    ...withGradients([1, rows, D, S], DEPTH), // queries and keys
    ...withGradients([1, rows, E, D], DEPTH), // out
    ...withGradients([groups, C / 2, S, C / 2], DEPTH), // scores of the first half of the queries
    ...withGradients([groups, C / 2, S, C], DEPTH), // and of the second one
    ...withGradients([groups, C / 2, C / 2, E], DEPTH), // quadratic attention of the first half
    ...withGradients([groups, C / 2, C, E], DEPTH), // and of the second one
    ...withGradients([others, S, C, E], DEPTH), // the groups' contexts
    ...withGradients([others, C, S, E], DEPTH), // linear attention
    ...withGradients([1, rows, D, V], 1), // logits
  ].filter(({ shape: [b] }) => b > 0);
}

/** Seconds of the fastest of some calls. */
async function fastest({ shape: [b, m, k, n] }: Product, rounds: number): Promise<number> {
  const multiply = compile((x: tf.Tensor, y: tf.Tensor) => tf.matMul(x, y));
  const [x, y] = [tf.randomNormal([b, m, k]), tf.randomNormal([b, k, n])];
  const times: number[] = [];
  for (let i = 0; i <= rounds; i++) {
    const begun = performance.now();
    const product = await multiply(x, y);
    times.push((performance.now() - begun) / 1000);
    product.dispose();
  }
  tf.dispose([x, y]);
  multiply.dispose();
  return Math.min(...times.slice(1));
}

if (import.meta.main) {
  const { batch = 1, seq = 1024, threads = 2, rounds = 8 } = scriptArguments(PRODUCTS).numbers;
  await initBackend({ threads });
  let seconds = 0, operations = 0;
  for (const product of productsOf(batch, seq)) {
    seconds += product.count * await fastest(product, rounds);
    operations += 2 * product.count * product.shape.reduce((size, dimension) => size * dimension, 1);
  }
  console.log(JSON.stringify({
    ...{ batch, seq, threads },
    products_ms: Number((1000 * seconds).toFixed(1)),
    gflop: Number((operations / 1e9).toFixed(1)),
    gflop_per_second: Math.round(operations / 1e9 / seconds),
  }));
  Deno.exit(0);
}

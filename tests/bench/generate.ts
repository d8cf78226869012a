/**
 * Time per generated token of the model of FLASH-pytorch's train.py, with random weights: after a short prompt and after a
 * long one, a token of the one and of the other in turn, and of the matrix products alone.
 *
 * deno run -A tests/bench/generate.ts [--threads N] [--prompts 512,16384]
 *
 * @module
 */

import { FLASHTransformer, generate, initBackend } from "../../mod.ts";
import { type Command, HELP_FLAG, wholeFrom } from "../../src/cli/arguments.ts";
import { compile, tf } from "../../src/tensorflow/mod.ts";
import { scriptArguments } from "../support/script.ts";

const GENERATE: Command = {
  usage: [["deno run -A tests/bench/generate.ts [options]", "times generated tokens"]],
  positional: [],
  short: {},
  flags: [
    { name: "threads", value: "N", text: "Default: one for each core.", number: wholeFrom(1) },
    { name: "prompts", value: "N,…", text: "Lengths of the prompts. Default 512,16384." },
    HELP_FLAG,
  ],
};

const given = scriptArguments(GENERATE);
const { threads = navigator.hardwareConcurrency } = given.numbers;
const PROMPTS = (given.texts.prompts ?? "512,16384").split(",").map(Number);
const TOKENS = 300;
/** Tokens before those that count: the first reads the prompt, the second and the one that fills the recent ones compile. */
const WARM_UP = 34;

await initBackend({ threads });
const model = new FLASHTransformer({ numTokens: 256, dim: 512, depth: 8, causal: true, laplaceAttnFn: true });

/** In milliseconds; the fastest tenth is what other processes disturbed least. */
function summary(what: string, times: number[]) {
  const sorted = times.toSorted((a, b) => a - b);
  const mean = times.reduce((sum, time) => sum + time) / times.length;
  const at = (share: number) => sorted[Math.floor(share * times.length)];
  return { what, "tenth ms": at(0.1), "median ms": at(0.5), "mean ms": mean, "per second": 1000 / mean };
}

/** Times of the tokens after each prompt, in turn: what else the machine does meets both. */
async function tokenTimes(promptLengths: readonly number[]): Promise<number[][]> {
  const texts = promptLengths.map((length) =>
    generate(model, Array.from({ length }, (_, i) => (i * 7919) % 256), { tokens: WARM_UP + TOKENS })
  );
  const times: number[][] = texts.map(() => []);
  for (let token = 0; token < WARM_UP + TOKENS; token++) {
    for (const [i, text] of texts.entries()) {
      const before = performance.now();
      await text.next();
      times[i].push(performance.now() - before);
    }
  }
  return times.map((all) => all.slice(WARM_UP));
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

const rows = (await tokenTimes(PROMPTS)).map((times, i) => summary(`a token after ${PROMPTS[i]}`, times));
const [first, ...others] = rows.map((row) => row["median ms"]);
others.forEach((median, i) =>
  console.log(`median after ${PROMPTS[i + 1]} / after ${PROMPTS[0]}: ${median / first}`)
);
rows.push(summary("products alone", await productTimes()));
console.table(rows);

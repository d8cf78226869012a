import assert from "node:assert/strict";
import { generate, type GenerateOptions, generateSamples } from "../../../src/model/generation/generate.ts";
import { isFull } from "../../../src/model/generation/cache.ts";
import { decodeToken, distanceBiases, placeOf, prefill, settle } from "../../../src/model/generation/step.ts";
import { FLASHTransformer, type FLASHTransformerOptions } from "../../../src/model/mod.ts";
import { transformerModel } from "../../../src/model/training.ts";
import { tf } from "../../../src/tensorflow/mod.ts";
import { eachBackend, onBackend } from "../backends.ts";
import { relativeError } from "../fixtures.ts";
import { jitter, randomIds, smallTransformer } from "../models.ts";

async function collect<T>(iterator: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of iterator) items.push(item);
  return items;
}

/** Logits for the token after a text, from a pass over all of it. */
function fullLogits(model: FLASHTransformer, ids: readonly number[]): Float32Array {
  return tf.tidy(() => {
    const logits = model.forward([[...ids]]);
    return tf.slice(logits, [0, ids.length - 1, 0], [1, 1, -1]).dataSync<"float32">();
  });
}

function greedyByFullPasses(model: FLASHTransformer, prompt: readonly number[], tokens: number): number[] {
  const ids = [...prompt];
  for (let i = 0; i < tokens; i++) {
    const logits = fullLogits(model, ids);
    ids.push(logits.indexOf(Math.max(...logits)));
  }
  return ids.slice(prompt.length);
}

const VARIANTS: Partial<FLASHTransformerOptions>[] = [
  {},
  { laplaceAttnFn: true, normType: "layernorm" },
  { shiftTokens: false, groupSize: 5, queryKeyDim: 40, expansionFactor: 1.5 },
  { groupSize: 1 },
];

/** A group of more tokens than are kept apart as recent, and no multiple of them. */
const LARGE_GROUP = { groupSize: 40 };

eachBackend(
  "greedy text is that of running the whole sequence for each token, over several groups",
  async () => {
    for (const options of VARIANTS) {
      const model = smallTransformer(options);
      for (const length of [1, 7, 8, 9, 21]) {
        const [prompt] = randomIds(1, length, 19, length);
        const tokens = await collect(generate(model, prompt, { tokens: 30, temperature: 0 }));
        assert.deepEqual(
          tokens,
          greedyByFullPasses(model, prompt, 30),
          `${JSON.stringify(options)} ${length}`,
        );
      }
    }
  },
);

onBackend(
  "tensorflow",
  "each token's logits are those of the whole sequence, wherever the prompt ended",
  () => {
    for (const options of [...VARIANTS, LARGE_GROUP]) {
      const model = smallTransformer(options);
      const inner = transformerModel(model.options, model.frequencies);
      const tree = inner.definition.tree(Object.values(model.parameters));
      const biases = distanceBiases(inner, tree);
      const [ids] = randomIds(1, Math.max(40, 2.5 * model.options.groupSize), 19, 3);
      const last = (n: number) => fullLogits(model, ids.slice(0, n));
      for (const length of [1, 8, 13, 38]) {
        let { logits, caches } = prefill(
          inner,
          tree,
          tf.tensor2d([ids.slice(0, length)], undefined, "int32"),
        );
        for (let n = length;; n++) {
          // float32 sums in another order: some 1e-6 of the largest logit
          const error = relativeError(logits.dataSync(), last(n));
          assert.ok(error < 1e-5, `${JSON.stringify(options)}: ${length} tokens, then to ${n}: ${error}`);
          if (n === ids.length) break;
          const token = tf.tensor2d([[ids[n]]], undefined, "int32");
          ({ logits, caches } = decodeToken(inner, tree, biases, token, placeOf(inner, n), caches));
          const c = model.options.groupSize, row = n % c;
          if (isFull(row, c)) caches = caches.map((cache) => ({ ...cache, ...settle(cache, rowOf(row), c) }));
        }
      }
    }
  },
);

const rowOf = (row: number) => tf.tensor1d([row], "int32");

onBackend("tensorflow", "a loaded model generates at the positions of its state dict", async () => {
  const model = smallTransformer();
  const state = model.stateDict();
  state["abs_pos_emb.inv_freq"] = tf.mul(state["abs_pos_emb.inv_freq"], 1.7);
  for (const layer of [0, 1]) {
    const name = `layers.${layer}.rotary_pos_emb.freqs`;
    state[name] = tf.mul(state[name], 0.3);
  }
  model.loadStateDict(state);
  const [prompt] = randomIds(1, 11, 19);
  const tokens = await collect(generate(model, prompt, { tokens: 20, temperature: 0 }));
  assert.deepEqual(tokens, greedyByFullPasses(model, prompt, 20));
  assert.notDeepEqual(tokens, greedyByFullPasses(smallTransformer(), prompt, 20));
});

onBackend("tensorflow", "a seed gives the same tokens again, another seed others", async () => {
  const model = smallTransformer();
  const draw = (seed: number) => collect(generate(model, [1, 2, 3], { tokens: 30, temperature: 2, seed }));
  assert.deepEqual(await draw(5), await draw(5));
  assert.notDeepEqual(await draw(5), await draw(6));
});

eachBackend("samples differ from each other, and the first is what generate() gives", async () => {
  const model = smallTransformer();
  const options = { tokens: 20, temperature: 2, seed: 4 };
  const rows = await collect(generateSamples(model, [3, 1, 4, 1, 5, 9, 2, 6, 5], 3, options));
  const samples = [0, 1, 2].map((sample) => rows.map((row) => row[sample]));
  assert.equal(new Set(samples.map(String)).size, 3);
  assert.deepEqual(samples[0], await collect(generate(model, [3, 1, 4, 1, 5, 9, 2, 6, 5], options)));
});

onBackend(
  "tensorflow",
  "each sample ends before its own first end token; one in the prompt does not count",
  async () => {
    const model = smallTransformer();
    const prompt = [7, 2, 7], options = { tokens: 40, temperature: 3, seed: 1 };
    const free = await collect(generateSamples(model, prompt, 4, options));
    const texts = [0, 1, 2, 3].map((sample) => free.map((row) => row[sample]!));
    const ends = texts.map((text) => text.indexOf(7));
    assert.ok(new Set(ends).size > 2 && ends.every((end) => end !== 0), `ends: ${ends}`);
    const rows = await collect(generateSamples(model, prompt, 4, { ...options, endToken: 7 }));
    texts.forEach((text, sample) => {
      const wanted = ends[sample] < 0 ? text : text.slice(0, ends[sample]);
      assert.deepEqual(rows.map((row) => row[sample]).filter((token) => token !== undefined), wanted);
    });
  },
);

onBackend("tensorflow", "vocabularies of 1, 2 and 10 tokens work with every way to sample", async () => {
  for (const numTokens of [1, 2, 10]) {
    const model = smallTransformer({ numTokens });
    const draw = (options: GenerateOptions) =>
      collect(generate(model, [0], { tokens: 9, seed: 2, ...options }));
    const greedy = greedyByFullPasses(model, [0], 9);
    assert.deepEqual(await draw({ temperature: 0 }), greedy);
    assert.deepEqual(await draw({ topK: 1 }), greedy);
    assert.deepEqual(await draw({ topP: 1e-9 }), greedy);
    assert.deepEqual(await draw({ temperature: 0, topK: 50, topP: 0.1 }), greedy);
    const free = await draw({ temperature: 3 });
    assert.ok(free.length === 9 && free.every((token) => token >= 0 && token < numTokens), `${free}`);
    assert.ok(numTokens === 1 || new Set(free).size > 1, "it draws");
    assert.deepEqual(await draw({ temperature: 3, topK: 50 }), free, "more than there are: all");
  }
});

onBackend("tensorflow", "a text of which every token would be the end token is empty", async () => {
  const model = smallTransformer({ numTokens: 1 });
  assert.deepEqual(await collect(generateSamples(model, [0, 0], 2, { tokens: 9, endToken: 0 })), []);
});

onBackend("tensorflow", "generating leaves no tensor behind, left early or refused too", async () => {
  const model = smallTransformer();
  await collect(generate(model, [1], { tokens: 1 })); // constants that are made once
  const before = tf.memory().numTensors;
  await collect(generate(model, [1, 2, 3], { tokens: 20 }));
  for await (const _ of generateSamples(model, [1, 2, 3], 2, { tokens: 20 })) break;
  await assert.rejects(collect(generate(model, [99])));
  assert.equal(tf.memory().numTensors, before);
});

onBackend("tensorflow", "what can't be generated is rejected with its name", async () => {
  const model = smallTransformer();
  const refuses = (words: RegExp, prompt: number[], options = {}, samples = 1) =>
    assert.rejects(collect(generateSamples(model, prompt, samples, options)), words);
  await refuses(/prompt is empty/, []);
  await refuses(/\[0\]\[1\] is 19; it must be a whole number from 0 to 18/, [0, 19]);
  await refuses(/tokens is -1/, [0], { tokens: -1 });
  await refuses(/temperature is -1; it must be a number from 0 up/, [0], { temperature: -1 });
  await refuses(/topK is 0; it must be a whole number from 1 up/, [0], { topK: 0 });
  await refuses(/topP is 0; it must be a number above 0, at most 1/, [0], { topP: 0 });
  await refuses(/endToken is 19; it must be a whole number from 0 to 18/, [0], { endToken: 19 });
  await refuses(/seed is 0.5/, [0], { seed: 0.5 });
  await refuses(/samples is 0/, [0], {}, 0);
  assert.deepEqual(await collect(generate(model, [0], { tokens: 0 })), []);
  const both = new FLASHTransformer({ numTokens: 5, dim: 8, depth: 1, causal: false });
  await assert.rejects(collect(generate(both, [0])), /Only a causal model generates/);
});

onBackend("tensorflow", "weights that are not finite are an error and no text", async () => {
  const model = jitter(new FLASHTransformer({ numTokens: 5, dim: 8, depth: 1, causal: true }));
  const state = model.stateDict();
  model.loadStateDict({ ...state, "to_logits.1.bias": tf.fill([5], NaN) });
  await assert.rejects(collect(generate(model, [0])), /logit of token 0 is NaN/);
});

onBackend("tensorflow", "timers get their turn between two tokens", async () => {
  const tokens = generate(smallTransformer({}), [1, 2], { tokens: 60 });
  await tokens.next();
  await tokens.next(); // compiles
  let ticks = 0;
  const timer = setInterval(() => ticks++);
  for await (const _ of tokens);
  clearInterval(timer);
  assert.ok(ticks > 5, `${ticks} ticks during 58 tokens`);
});

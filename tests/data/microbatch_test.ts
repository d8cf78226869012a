import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { type Corpus, corpusOf, loadCorpus } from "../../src/data/corpus.ts";
import { MicroBatches, type MicroBatchOptions } from "../../src/data/microbatch.ts";
import { endlessEpochs, windowOffset, windows } from "../../src/data/windows.ts";
import { ConfigError } from "../../src/errors.ts";

const OPTIONS: MicroBatchOptions = {
  seqLen: 16,
  lengths: [4, 8, 16],
  batch: 6,
  microBatch: 2,
  seed: 1,
  evalWindows: 5,
};

/** A text of `bytes` bytes in which any three neighbours tell where they are. */
const TEXT = Uint8Array.from(
  { length: 3000 },
  (_, i) => i % 3 === 0 ? 255 : i % 3 === 1 ? i / 3 % 250 : i / 750,
);

const problemsOf = (make: () => unknown): readonly string[] => {
  try {
    make();
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return error.problems;
  }
  return [];
};

Deno.test("MicroBatches gives labels that are the next token of the text", () => {
  const corpus = corpusOf([TEXT], { validation: 0.1 });
  const data = new MicroBatches(corpus, OPTIONS);
  assert.equal(data.perStep, 3);
  assert.deepEqual(data.shapes, [[2, 16]]);
  const { ids, labels, mask, shape } = data.train(3, 1);
  assert.deepEqual(shape, [2, 16]);
  assert.equal(mask, undefined);
  for (const row of [0, 1]) {
    const input = ids.subarray(row * 16, (row + 1) * 16), output = labels.subarray(row * 16, (row + 1) * 16);
    assert.deepEqual(input.subarray(1), output.subarray(0, 15));
    const window = [...input, output[15]].join();
    assert.ok([...corpus.train].join().includes(window));
  }
});

Deno.test("MicroBatches covers an epoch with each window once, whatever the micro-batch", () => {
  const corpus = corpusOf([TEXT], { validation: 0.1 });
  const rowsOf = (microBatch: number) => {
    const data = new MicroBatches(corpus, { ...OPTIONS, microBatch });
    const rows: string[] = [];
    for (let step = 1; step <= 28; step++) {
      for (let index = 0; index < data.perStep; index++) {
        const { ids } = data.train(step, index);
        for (let row = 0; row < microBatch; row++) rows.push(ids.subarray(row * 16, (row + 1) * 16).join());
      }
    }
    return rows;
  };
  const rows = rowsOf(1);
  assert.deepEqual(rowsOf(2), rows);
  assert.deepEqual(rowsOf(6), rows);
  const sample = endlessEpochs((epoch) => windows(2700, 16, windowOffset(2700, 16, 1, epoch)), 1);
  const { start } = sample(0);
  assert.equal(rows[0], corpus.train.subarray(start, start + 16).join(), "step 1 begins at place 0");
  // 2700 bytes hold 168 windows at an offset below 12, and 167 otherwise; 28 steps of 6 are 168.
  assert.equal(new Set(rows.slice(0, 167)).size, 167);
});

Deno.test("MicroBatches is a function of (seed, step, micro-batch): asked in any order it gives the same", () => {
  const corpus = corpusOf([TEXT], { validation: 0.1 });
  const make = (seed: number) => new MicroBatches(corpus, { ...OPTIONS, seed });
  const forward = make(1), backward = make(1);
  const steps = Array.from({ length: 100 }, (_, i) => i + 1);
  const expected = steps.map((step) => forward.train(step, 2));
  for (const step of steps.toReversed()) assert.deepEqual(backward.train(step, 2), expected[step - 1]);
  assert.notDeepEqual(make(2).train(1, 0), make(1).train(1, 0));
});

Deno.test("MicroBatches evaluates the first windows of the validation part in order, without overlap", () => {
  const corpus = corpusOf([TEXT], { validation: 0.1 });
  const data = new MicroBatches(corpus, OPTIONS);
  assert.equal(data.perEvaluation, 3);
  const batches = [0, 1, 2].map((index) => data.validation(index));
  assert.deepEqual(batches.map(({ shape }) => shape), [[2, 16], [2, 16], [1, 16]]);
  assert.deepEqual(batches.flatMap(({ ids }) => [...ids]), [...corpus.validation.subarray(0, 80)]);
  assert.deepEqual(batches.flatMap(({ labels }) => [...labels]), [...corpus.validation.subarray(1, 81)]);
  const few = new MicroBatches(corpus, { ...OPTIONS, evalWindows: 1000 });
  assert.equal(few.perEvaluation, Math.ceil(Math.floor((300 - 1) / 16) / 2));
});

Deno.test("MicroBatches evaluates the speeches on the windows of the reference", async () => {
  const corpus = await loadCorpus("sotu", { validation: 0.05 });
  const data = new MicroBatches(corpus, {
    ...OPTIONS,
    seqLen: 256,
    lengths: [256],
    batch: 8,
    evalWindows: 64,
  });
  const hash = createHash("sha256");
  for (let index = 0; index < data.perEvaluation; index++) {
    const { ids, labels } = data.validation(index);
    for (const row of [0, 1]) {
      hash.update(Uint8Array.from(ids.subarray(row * 256, (row + 1) * 256)));
      hash.update(Uint8Array.of(labels[row * 256 + 255]));
    }
  }
  // Of the 64 windows of 257 bytes that the reference's Python cuts.
  assert.equal(hash.digest("hex"), "85233610d4b1ec33478e70b76125ef0b9c6c7c21eebb9ba3e3d98362e6aeb950");
});

Deno.test("MicroBatches trains on a text of exactly one window, and refuses one byte less", () => {
  const corpus = (train: number, validation: number): Corpus => ({
    train: TEXT.subarray(0, train),
    validation: TEXT.subarray(0, validation),
    bytes: train + validation,
    sha256: "",
    files: [train + validation],
  });
  const data = new MicroBatches(corpus(17, 17), OPTIONS);
  assert.deepEqual([...data.train(1000, 2).ids.subarray(0, 16)], [...TEXT.subarray(0, 16)]);
  assert.equal(data.perEvaluation, 1);
  const problems = problemsOf(() => new MicroBatches(corpus(16, 3), OPTIONS));
  assert.equal(problems.length, 2);
  assert.match(
    problems[0],
    /training part of the text has 16 bytes, and one window of data.seqLen 16 takes 17/,
  );
  assert.match(problems[1], /validation part of the text has 3 bytes/);
});

Deno.test("MicroBatches pads documents on the right to the next of the lengths that holds the longest", () => {
  const text = new TextEncoder().encode(
    "ab\nabcdef\n" + "a document of 40 characters, and no more\n".repeat(3) + "end",
  );
  const corpus = corpusOf([text], { validation: 0.01, documents: true });
  const data = new MicroBatches(corpus, { ...OPTIONS, batch: 1, microBatch: 1 });
  assert.deepEqual(data.shapes, [[1, 4], [1, 8], [1, 16]]);
  const seen: Record<string, number> = {};
  for (let step = 1; step <= 2 + 3 * 3; step++) {
    const { ids, labels, mask, shape } = data.train(step, 0);
    const real = mask!.reduce((sum, value) => sum + value, 0);
    assert.ok(mask!.subarray(0, real).every((value) => value === 1), "padding is on the right");
    assert.deepEqual([...ids.subarray(real)], Array(shape[1] - real).fill(0));
    assert.deepEqual([...labels.subarray(real)], Array(shape[1] - real).fill(-1));
    const read = String.fromCharCode(...ids.subarray(0, real), labels[real - 1]);
    seen[`${read}/${shape[1]}`] = (seen[`${read}/${shape[1]}`] ?? 0) + 1;
  }
  assert.deepEqual(seen, {
    "ab/4": 1,
    "abcdef/8": 1,
    "a document of 40 /16": 3,
    " characters, and /16": 3,
    " no more/8": 3,
  });
});

Deno.test("MicroBatches gives a micro-batch of documents the length of its longest", () => {
  const text = new TextEncoder().encode("ab\nabcdef\nabc\nend");
  const corpus = corpusOf([text], { validation: 0.01, documents: true });
  const { shape, mask } = new MicroBatches(corpus, { ...OPTIONS, batch: 3, microBatch: 3 }).train(1, 0);
  assert.deepEqual(shape, [3, 8]);
  assert.deepEqual(mask!.reduce((sum, value) => sum + value, 0), 1 + 5 + 2);
});

Deno.test("MicroBatches refuses documents without anything to predict, and micro-batches that do not exist", () => {
  const corpus = corpusOf([new TextEncoder().encode("a\nb\nc\nd")], { validation: 0.2, documents: true });
  const problems = problemsOf(() => new MicroBatches(corpus, OPTIONS));
  assert.match(problems[0], /training part has no document of two bytes or more/);
  assert.match(problems[1], /validation part has no document/);
  const data = new MicroBatches(corpusOf([TEXT], { validation: 0.1 }), OPTIONS);
  assert.throws(() => data.train(1, 3), RangeError);
  assert.throws(() => data.validation(3), RangeError);
});

import assert from "node:assert/strict";
import { documentSamples, endlessEpochs, type Epoch, windowOffset, windows } from "../../src/data/windows.ts";

const all = (epoch: Epoch) => Array.from({ length: epoch.size }, (_, i) => epoch.at(i));

Deno.test("windows() share one token with their neighbours and stay inside the text", () => {
  for (
    const [length, seqLen, offset] of [
      [128, 64, 0],
      [1000, 64, 0],
      [1000, 64, 63],
      [65, 64, 0],
      [129, 64, 0],
      [
        128,
        64,
        63,
      ],
    ]
  ) {
    const samples = all(windows(length, seqLen, offset));
    assert.equal(samples[0].start, offset);
    samples.forEach(({ start, length }, i) => {
      if (i > 0) assert.equal(start, samples[i - 1].start + seqLen); // the token after a window's inputs
      assert.equal(length, seqLen);
    });
    const last = samples[samples.length - 1].start + seqLen; // index of the last label
    assert.ok(last < length, "the last label is in the text");
    assert.ok(last + seqLen >= length, "no further window fits");
  }
});

Deno.test("windowOffset() keeps room for a window, uses the whole range and differs in window count by at most one", () => {
  for (const [length, seqLen] of [[1000, 64], [65, 64], [70, 64], [128, 64], [129, 64]]) {
    const offsets = Array.from({ length: 1000 }, (_, epoch) => windowOffset(length, seqLen, 7, epoch));
    const choices = Math.min(seqLen, length - seqLen);
    assert.equal(Math.min(...offsets), 0);
    assert.equal(Math.max(...offsets), choices - 1);
    const sizes = offsets.map((offset) => windows(length, seqLen, offset).size);
    assert.ok(Math.min(...sizes) >= 1 && Math.max(...sizes) - Math.min(...sizes) <= 1);
  }
});

Deno.test("endlessEpochs() visits every window of an epoch once before the next epoch begins", () => {
  const length = 5000, seqLen = 64, seed = 3;
  const epochOf = (epoch: number) => windows(length, seqLen, windowOffset(length, seqLen, seed, epoch));
  const sample = endlessEpochs(epochOf, seed);
  let place = 0;
  const orders = new Set<string>();
  for (let epoch = 0; epoch < 20; epoch++) {
    const expected = all(epochOf(epoch)).map(({ start }) => start);
    const visited = expected.map(() => sample(place++).start);
    assert.deepEqual(visited.toSorted((a, b) => a - b), expected);
    assert.notDeepEqual(visited, expected);
    orders.add(visited.map((start) => Math.floor(start / seqLen)).join());
  }
  assert.equal(orders.size, 20);
});

Deno.test("endlessEpochs() is a function of the place: asked backwards, or from the middle on, it answers the same", () => {
  const epochOf = (epoch: number) => windows(700, 64, windowOffset(700, 64, 1, epoch));
  const forward = endlessEpochs(epochOf, 1);
  const expected = Array.from({ length: 300 }, (_, place) => forward(place));
  const backward = endlessEpochs(epochOf, 1);
  for (let place = 299; place >= 0; place--) assert.deepEqual(backward(place), expected[place]);
  const other = endlessEpochs(epochOf, 2);
  assert.notDeepEqual(Array.from({ length: 300 }, (_, place) => other(place)), expected);
});

Deno.test("endlessEpochs() repeats the only window of the shortest text", () => {
  const sample = endlessEpochs((epoch) => windows(65, 64, windowOffset(65, 64, 1, epoch)), 1);
  for (const place of [0, 1, 2, 1000]) assert.deepEqual(sample(place), { start: 0, length: 64 });
});

Deno.test("documentSamples() cut documents into windows, keep what is left as a shorter one, and never cross a boundary", () => {
  const spans = [[0, 10], [11, 11], [12, 13], [14, 16], [17, 17 + 129], [150, 150 + 66]]
    .map(([start, end]) => ({ start, end }));
  assert.deepEqual(all(documentSamples(spans, 64)).map(({ start, length }) => [start, length]), [
    [0, 9],
    [14, 1],
    [17, 64],
    [81, 64],
    [150, 64],
    [214, 1],
  ]);
});

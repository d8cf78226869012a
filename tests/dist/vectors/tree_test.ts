/** @module */

import assert from "node:assert/strict";
import { assignRanges, pathTo, splitOf, subtrees } from "../../../src/dist/vectors/tree.ts";
import { randomStream } from "../../../src/prng.ts";

Deno.test("splitOf() splits at the largest power of two below the length", () => {
  assert.deepEqual([2, 3, 4, 5, 8, 9, 16, 17].map((n) => splitOf(100, 100 + n) - 100), [
    1,
    2,
    2,
    4,
    4,
    8,
    8,
    16,
  ]);
});

Deno.test("subtrees() are nodes of the tree, adjacent, and as large as they can be", () => {
  for (let count = 1; count <= 20; count++) {
    for (let lo = 0; lo < count; lo++) {
      for (let hi = lo + 1; hi <= count; hi++) {
        const nodes = subtrees(lo, hi, count);
        assert.equal(nodes[0][0], lo);
        assert.equal(nodes.at(-1)![1], hi);
        nodes.forEach(([from, to], i) => {
          const path = pathTo(from, to, count)!;
          assert.deepEqual(path.at(-1), [from, to]);
          if (i > 0) assert.equal(from, nodes[i - 1][1]);
          const parent = path.at(-2);
          if (parent) assert.ok(parent[0] < lo || hi < parent[1], "its parent is not in the range");
        });
      }
    }
  }
});

Deno.test("subtrees() of an empty range are none", () => {
  assert.deepEqual(subtrees(3, 3, 8), []);
});

Deno.test("pathTo() is undefined for a range that is not a node", () => {
  assert.equal(pathTo(1, 3, 8), undefined);
  assert.equal(pathTo(0, 9, 8), undefined);
  assert.equal(pathTo(2, 2, 8), undefined);
  assert.deepEqual(pathTo(2, 3, 8), [[0, 8], [0, 4], [2, 4], [2, 3]]);
});

Deno.test("assignRanges() covers everything once, with at most two subtrees each", () => {
  const { word, uniform } = randomStream(1, "ranges");
  for (let trial = 0; trial < 200; trial++) {
    const count = 1 + word(20 * trial) % 40, members = 1 + word(20 * trial + 1) % 9;
    const speeds = Array.from({ length: members }, (_, i) => 0.1 + uniform(20 * trial + 2 + i));
    let end = 0;
    for (const [lo, hi] of assignRanges(count, speeds)) {
      assert.equal(lo, end);
      assert.ok(subtrees(lo, hi, count).length <= 2);
      end = hi;
    }
    assert.equal(end, count);
  }
});

Deno.test("assignRanges() finds the fastest cut that trying all cuts finds", () => {
  const { word } = randomStream(2, "ranges");
  const slowest = (ranges: readonly (readonly [number, number])[], speeds: number[]) =>
    Math.max(...ranges.map(([lo, hi], i) => (hi - lo) / speeds[i]));
  const best = (from: number, count: number, speeds: number[]): number => {
    if (speeds.length === 0) return from === count ? 0 : Infinity;
    let least = Infinity;
    for (let to = from; to <= count; to++) {
      if (subtrees(from, to, count).length > 2) continue;
      least = Math.min(least, Math.max((to - from) / speeds[0], best(to, count, speeds.slice(1))));
    }
    return least;
  };
  for (let trial = 0; trial < 60; trial++) {
    const count = 1 + word(10 * trial) % 11;
    const speeds = Array.from(
      { length: 1 + word(10 * trial + 1) % 4 },
      (_, i) => 1 + word(10 * trial + 2 + i) % 5,
    );
    assert.equal(slowest(assignRanges(count, speeds), speeds), best(0, count, speeds));
  }
});

Deno.test("assignRanges() gives equal members equal shares, whole subtrees, and none where there are too many members", () => {
  assert.deepEqual(assignRanges(8, [1, 1, 1, 1]), [[0, 2], [2, 4], [4, 6], [6, 8]]);
  const sizes = assignRanges(2, [1, 1, 1]).map(([lo, hi]) => hi - lo);
  assert.deepEqual(sizes.toSorted(), [0, 1, 1]);
});

Deno.test("assignRanges() gives a member at half speed about half the work", () => {
  // An even cut, 16 / 3.5 each, is not one at nodes of the tree; this is the nearest.
  assert.deepEqual(assignRanges(16, [0.5, 1, 1, 1]).map(([lo, hi]) => hi - lo), [2, 6, 4, 4]);
});

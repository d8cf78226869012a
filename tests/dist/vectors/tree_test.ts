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

Deno.test("assignRanges() is its plain definition, ties included", () => {
  const { word, uniform } = randomStream(2, "cuts");
  for (let trial = 0; trial < 300; trial++) {
    const draw = 20 * trial;
    const count = word(draw) % 70, members = 1 + word(draw + 1) % 12;
    const kinds = [
      () => 1,
      (i: number) => 1 + word(draw + 3 + i) % 3,
      (i: number) => 0.1 + uniform(draw + 3 + i),
    ];
    const speeds = Array.from({ length: members }, (_, i) => kinds[word(draw + 2) % kinds.length](i));
    assert.deepEqual(assignRanges(count, speeds), plainRanges(count, speeds), `${count}: ${speeds}`);
  }
});

Deno.test("assignRanges() cuts 4,096 micro-batches for 1,000 members in a blink: it runs between two steps", () => {
  const { uniform } = randomStream(3, "many");
  const speeds = Array.from({ length: 1000 }, (_, i) => 0.5 + uniform(i));
  const times = Array.from({ length: 3 }, () => {
    const begin = performance.now();
    assignRanges(4096, speeds);
    return performance.now() - begin;
  });
  assert.ok(Math.min(...times) < 500, `${times} ms`); // 60 on two idle cores
});

/** The same cuts, from all ranges of at most two subtrees. */
function plainRanges(microBatches: number, speeds: readonly number[]): [number, number][] {
  const nodesTo = (end: number) =>
    Array.from({ length: end }, (_, start) => start).filter((start) => pathTo(start, end, microBatches));
  const startsTo = Array.from({ length: microBatches + 1 }, (_, end) => {
    const nodes = nodesTo(end);
    const starts = [...new Set([...nodes, ...nodes.flatMap(nodesTo)])]; // in ties the first counts
    return starts.map((start) => ({ start, count: nodes.includes(start) ? 1 : 2 }));
  });
  type Way = { time: number; uploads: number; cuts: [number, number][] };
  let ways: (Way | undefined)[] = Array.from({ length: microBatches + 1 }, () => undefined);
  ways[0] = { time: 0, uploads: 0, cuts: [] };
  for (const speed of speeds) {
    ways = ways.map((empty, end) => {
      let best = empty && { ...empty, cuts: [...empty.cuts, [end, end] as [number, number]] };
      for (const { start, count } of startsTo[end]) {
        const before = ways[start];
        if (!before) continue;
        const time = Math.max(before.time, (end - start) / speed), uploads = before.uploads + count;
        if (best && (time > best.time || (time === best.time && uploads >= best.uploads))) continue;
        best = { time, uploads, cuts: [...before.cuts, [start, end]] };
      }
      return best;
    });
  }
  return ways[microBatches]!.cuts;
}

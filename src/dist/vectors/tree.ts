/**
 * The reduction tree. The sum over micro-batches [lo, hi) is the sum over its left part plus the sum over its right
 * part, split at the largest power of two below hi − lo. Float32 addition is not associative: because every process adds in
 * this one order, the result does not depend on who computed what.
 *
 * @module
 */

/** First micro-batch of a range and one past its last. */
export type Range = readonly [lo: number, hi: number];

/** Most subtrees of one member's range, and so the most vectors that it uploads in a step. */
const MOST_SUBTREES = 2;

/** Where [lo, hi), of two or more micro-batches, is split. */
export function splitOf(lo: number, hi: number): number {
  return lo + (1 << (31 - Math.clz32(hi - lo - 1)));
}

/**
 * The maximal nodes of the tree over [0, microBatches) that make up the range [lo, hi), in order.
 *
 * @example
 * ```ts
 * import { subtrees } from "./tree.ts";
 * console.assert(JSON.stringify(subtrees(3, 8, 8)) === "[[3,4],[4,8]]");
 * ```
 */
export function subtrees(lo: number, hi: number, microBatches: number): Range[] {
  const within = (from: number, to: number): Range[] => {
    if (hi <= from || to <= lo) return [];
    if (lo <= from && to <= hi) return [[from, to]];
    const middle = splitOf(from, to);
    return [...within(from, middle), ...within(middle, to)];
  };
  return within(0, microBatches);
}

/** The nodes from the root down to [lo, hi), both included, or undefined where [lo, hi) is not a node. */
export function pathTo(lo: number, hi: number, microBatches: number): Range[] | undefined {
  const path: Range[] = [];
  let from = 0, to = microBatches;
  while (from <= lo && lo < hi && hi <= to) {
    path.push([from, to]);
    if (from === lo && to === hi) return path;
    if (to - from === 1) return undefined;
    const middle = splitOf(from, to);
    if (lo < middle) to = middle;
    else from = middle;
  }
  return undefined;
}

/**
 * Cuts [0, microBatches) into one contiguous range for each member, in order, so that the slowest takes as little time
 * as possible and, among such cuts, few sums are uploaded. A range consists of at most two subtrees. With more members than
 * micro-batches some ranges are empty.
 *
 * @param speeds micro-batches per second of each member, in any unit
 *
 * @example
 * ```ts
 * import { assignRanges } from "./tree.ts";
 * console.assert(JSON.stringify(assignRanges(8, [1, 1, 2])) === "[[0,2],[2,4],[4,8]]");
 * ```
 */
export function assignRanges(microBatches: number, speeds: readonly number[]): Range[] {
  const startsOf = startsByEnd(microBatches);
  // best[i]: the best way for the members so far to hold [0, i), as (time of the slowest, sums uploaded, start of the last).
  const rows: { time: number; uploads: number; start: number }[][] = [];
  let before = Array.from(
    { length: microBatches + 1 },
    (_, end) => ({ time: end === 0 ? 0 : Infinity, uploads: 0, start: 0 }),
  );
  for (const speed of speeds) {
    const row = before.map(({ time, uploads }, end) => {
      let best = { time, uploads, start: end }; // an empty range
      for (const { start, count } of startsOf[end]) {
        const slowest = Math.max(before[start].time, (end - start) / speed);
        const uploaded = before[start].uploads + count;
        if (slowest < best.time || (slowest === best.time && uploaded < best.uploads)) {
          best = { time: slowest, uploads: uploaded, start };
        }
      }
      return best;
    });
    rows.push(row);
    before = row;
  }
  const ranges: Range[] = [];
  let end = microBatches;
  for (const row of rows.reverse()) {
    ranges.unshift([row[end].start, end]);
    end = row[end].start;
  }
  return ranges;
}

/** For each end, the starts of the ranges up to it that consist of at most two subtrees, and of how many they consist. */
function startsByEnd(microBatches: number): { start: number; count: number }[][] {
  const nodesTo: number[][] = Array.from({ length: microBatches + 1 }, () => []); // starts of the nodes that end there
  const visit = (lo: number, hi: number) => {
    nodesTo[hi].push(lo);
    if (hi - lo === 1) return;
    const middle = splitOf(lo, hi);
    visit(lo, middle);
    visit(middle, hi);
  };
  if (microBatches > 0) visit(0, microBatches);
  return nodesTo.map((starts) => {
    const counts = new Map<number, number>();
    let ends = starts.map((start) => ({ start, count: 1 }));
    while (ends.length > 0) {
      for (const { start, count } of ends) counts.set(start, Math.min(count, counts.get(start) ?? count));
      ends = ends.filter(({ count }) => count < MOST_SUBTREES)
        .flatMap(({ start, count }) => nodesTo[start].map((next) => ({ start: next, count: count + 1 })));
    }
    return [...counts].map(([start, count]) => ({ start, count }));
  });
}

/**
 * The reduction tree. The sum over micro-batches [lo, hi) is the sum over its left part plus the sum over its right
 * part, split at the largest power of two below hi − lo. Float32 addition is not associative: because every process adds in
 * this one order, the result does not depend on who computed what.
 *
 * @module
 */

/** First micro-batch of a range and one past its last. */
export type Range = readonly [lo: number, hi: number];

/** Ranges of leaves by member. */
export type Ranges = Readonly<Record<string, readonly Range[]>>;

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
  const { from, starts, counts } = startsByEnd(microBatches);
  const width = microBatches + 1;
  // For the members so far to hold [0, end), by end: the time of the slowest, and how many sums are uploaded.
  let times = new Float64Array(width).fill(Infinity), uploads = new Int32Array(width);
  let nextTimes = new Float64Array(width), nextUploads = new Int32Array(width);
  times[0] = 0;
  /** Where the last member's range starts then, by member and end. */
  const choices = new Int32Array(speeds.length * width);
  speeds.forEach((speed, member) => {
    for (let end = 0; end < width; end++) {
      let time = times[end], uploaded = uploads[end], choice = end; // an empty range
      for (let i = from[end]; i < from[end + 1]; i++) {
        const start = starts[i];
        const own = (end - start) / speed, before = times[start];
        if (own > time || before > time) continue;
        const slowest = own > before ? own : before;
        const more = uploads[start] + counts[i];
        if (slowest === time && more >= uploaded) continue;
        time = slowest;
        uploaded = more;
        choice = start;
      }
      nextTimes[end] = time;
      nextUploads[end] = uploaded;
      choices[member * width + end] = choice;
    }
    [times, nextTimes] = [nextTimes, times];
    [uploads, nextUploads] = [nextUploads, uploads];
  });
  const ranges: Range[] = [];
  let end = microBatches;
  for (let member = speeds.length - 1; member >= 0; member--) {
    const start = choices[member * width + end];
    ranges.push([start, end]);
    end = start;
  }
  return ranges.reverse();
}

/**
 * For each end, the starts of the ranges up to it that consist of at most two subtrees, and of how many they consist: those of `end`
 * are at `from[end]` up to `from[end + 1]`.
 */
function startsByEnd(microBatches: number): { from: Int32Array; starts: Int32Array; counts: Int32Array } {
  const nodesTo: number[][] = Array.from({ length: microBatches + 1 }, () => []); // starts of the nodes that end there
  const visit = (lo: number, hi: number) => {
    nodesTo[hi].push(lo);
    if (hi - lo === 1) return;
    const middle = splitOf(lo, hi);
    visit(lo, middle);
    visit(middle, hi);
  };
  if (microBatches > 0) visit(0, microBatches);
  const from = new Int32Array(microBatches + 2);
  const starts: number[] = [], counts: number[] = [];
  nodesTo.forEach((nodes, end) => {
    const countOf = new Map<number, number>();
    let ends = nodes.map((start) => ({ start, count: 1 }));
    while (ends.length > 0) {
      for (const { start, count } of ends) countOf.set(start, Math.min(count, countOf.get(start) ?? count));
      ends = ends.filter(({ count }) => count < MOST_SUBTREES)
        .flatMap(({ start, count }) => nodesTo[start].map((next) => ({ start: next, count: count + 1 })));
    }
    starts.push(...countOf.keys());
    counts.push(...countOf.values());
    from[end + 1] = starts.length;
  });
  return { from, starts: Int32Array.from(starts), counts: Int32Array.from(counts) };
}

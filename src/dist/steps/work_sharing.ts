/**
 * Shares the work of a lost member out among the others.
 *
 * @module
 */

import { type Range, splitOf } from "../vectors/tree.ts";

/**
 * Shares subtrees out among members: the large ones are split so that there is one for each member, if possible, and the
 * least busy take the largest. Each gets as few as possible, because each is one more vector to upload.
 *
 * @param orphans subtrees to be computed again
 * @param loads micro-batches that each member still has to compute
 * @returns the shares of the members that get any
 *
 * @example
 * ```ts
 * import { shareOut } from "./work_sharing.ts";
 * const shares = shareOut([[4, 8]], new Map([["a", 0], ["b", 0]]));
 * console.assert(JSON.stringify(shares) === '{"a":[[4,6]],"b":[[6,8]]}');
 * ```
 */
export function shareOut(
  orphans: readonly Range[],
  loads: ReadonlyMap<string, number>,
): Record<string, Range[]> {
  const pieces = piecesOf(orphans, loads.size).sort((a, b) => sizeOf(b) - sizeOf(a) || a[0] - b[0]);
  const most = Math.ceil(pieces.length / loads.size);
  const busy = new Map(loads);
  const shares: Record<string, Range[]> = {};
  for (const piece of pieces) {
    const free = [...busy].filter(([name]) => (shares[name]?.length ?? 0) < most);
    const [name, load] = free.reduce((best, each) => each[1] < best[1] ? each : best);
    (shares[name] ??= []).push(piece);
    busy.set(name, load + sizeOf(piece));
  }
  return shares;
}

/** Splits the largest subtrees until there are `count`, or all are leaves. */
function piecesOf(orphans: readonly Range[], count: number): Range[] {
  const pieces = [...orphans];
  while (pieces.length < count) {
    const largest = pieces.reduce((best, piece) => sizeOf(piece) > sizeOf(best) ? piece : best, [0, 0]);
    if (sizeOf(largest) <= 1) break;
    const [lo, hi] = largest;
    const middle = splitOf(lo, hi);
    pieces.splice(pieces.indexOf(largest), 1, [lo, middle], [middle, hi]);
  }
  return pieces;
}

function sizeOf([lo, hi]: Range): number {
  return hi - lo;
}

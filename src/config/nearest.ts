/**
 * The name that was probably meant: for messages about unknown keys, flags and corpora.
 *
 * @module
 */

/** How many insertions, deletions and replacements of one character turn `a` into `b` (Levenshtein). */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, row[j] + 1, next[j - 1] + 1));
    }
    row = next;
  }
  return row[b.length];
}

/**
 * The known name nearest to `name`, or undefined when none is near: more than two characters in five would differ.
 *
 * @example
 * ```ts
 * import { nearestName } from "./nearest.ts";
 * console.assert(nearestName("learninRate", ["beta1", "learningRate"]) === "learningRate");
 * ```
 */
export function nearestName(name: string, known: readonly string[]): string | undefined {
  let best: string | undefined, bestDistance = Infinity;
  for (const candidate of known) {
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return bestDistance <= 0.4 * Math.max(name.length, best?.length ?? 0) ? best : undefined;
}

/** A sentence's end for an unknown name: "; did you mean x?", or nothing when no known name is near. */
export function didYouMean(name: string, known: readonly string[]): string {
  const nearest = nearestName(name, known);
  return nearest === undefined ? "" : `; did you mean ${nearest}?`;
}

/**
 * The known dotted path that was probably meant: one with the same parent if any is near, else one whose last name is near.
 */
export function nearestPath(path: string, known: readonly string[]): string | undefined {
  const parentOf = (path: string) => path.slice(0, path.lastIndexOf(".") + 1);
  const nameOf = (path: string) => path.slice(path.lastIndexOf(".") + 1);
  const siblings = known.filter((other) => parentOf(other) === parentOf(path));
  for (const candidates of [siblings, known]) {
    const name = nearestName(nameOf(path), candidates.map(nameOf));
    if (name !== undefined) return candidates.find((candidate) => nameOf(candidate) === name);
  }
}

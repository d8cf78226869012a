/**
 * Whether processes grow while a run goes on.
 *
 * @module
 */

import { processes } from "../run/runs.ts";

/** V8 and malloc keep what was freed for a while: a process is compared with what it was after so many looks. */
const SETTLED = 10;

/** Follows the resident memory of processes that come and go. */
export class Growth {
  readonly #seen = new Map<number, { looks: number; first: number; last: number }>();

  /** Looks at processes. */
  look(pids: Iterable<number>): void {
    const wanted = new Set(pids);
    for (const { pid, resident } of processes()) {
      if (!wanted.has(pid)) continue;
      const { looks, first } = this.#seen.get(pid) ?? { looks: 0, first: 0 };
      this.#seen.set(pid, { looks: looks + 1, first: looks <= SETTLED ? resident : first, last: resident });
    }
  }

  /** The most that one of them has grown by, in bytes. */
  get most(): number {
    return Math.max(0, ...[...this.#seen.values()].map(({ first, last }) => last - first));
  }

  /** How many were seen long enough to say. */
  get settled(): number {
    return [...this.#seen.values()].filter(({ looks }) => looks > SETTLED + 1).length;
  }
}

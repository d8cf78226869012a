/**
 * Whether the memory of processes grows during a run.
 *
 * @module
 */

import { processes } from "../../run/support/runs.ts";

/**
 * Looks that are compared at the beginning and at the end. Of each the least counts: garbage comes and goes, and on a busy machine
 * it goes late, while what is kept never does.
 */
const WINDOW = 8;

/** Follows the resident memory of processes that come and go. */
export class Growth {
  readonly #seen = new Map<number, number[]>();

  /** Looks at processes. */
  look(pids: Iterable<number>): void {
    const wanted = new Set(pids);
    for (const { pid, resident } of processes()) {
      if (!wanted.has(pid)) continue;
      const looks = this.#seen.get(pid) ?? [];
      looks.push(resident);
      this.#seen.set(pid, looks);
    }
  }

  /** The most that one of them has grown by, in bytes. The first looks don't count: a process is getting ready. */
  get most(): number {
    const growth = this.#settled.map((looks) =>
      Math.min(...looks.slice(-WINDOW)) - Math.min(...looks.slice(WINDOW, 2 * WINDOW))
    );
    return Math.max(0, ...growth);
  }

  /** How many were seen long enough to say. */
  get settled(): number {
    return this.#settled.length;
  }

  /** All that was seen, in MB. */
  toString(): string {
    const lines = [...this.#seen].map(([pid, looks]) =>
      `process ${pid}: ${looks.map((bytes) => Math.round(bytes / 1e6)).join(" ")}`
    );
    return lines.join("\n");
  }

  get #settled(): number[][] {
    return [...this.#seen.values()].filter(({ length }) => length >= 3 * WINDOW);
  }
}

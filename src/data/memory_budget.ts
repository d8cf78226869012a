/**
 * Limits the memory for unpacked files: a small archive can unpack to more than any machine has (a zip bomb), and is refused
 * before memory is exhausted.
 *
 * @module
 */

import { NotText } from "./formats.ts";

const GIB = 2 ** 30;

/** A budget of memory for unpacked files, shared by all files of a text. */
export class MemoryBudget {
  #left: number;

  /** A budget of `bytes` bytes. */
  constructor(readonly bytes: number) {
    this.#left = bytes;
  }

  /** Half of the free memory: a text is held twice while it is unpacked, and again while files are joined. */
  static ofMachine(): MemoryBudget {
    return new MemoryBudget(freeMemory() / 2);
  }

  /** Takes bytes of it. @throws {NotText} where fewer are left */
  take(bytes: number): void {
    this.#left -= bytes;
    if (this.#left >= 0) return;
    throw new NotText(
      `unpacks to more than ${
        inGib(this.bytes)
      }, half of the memory that is free: take a smaller text, or a machine with more memory`,
    );
  }
}

/** Bytes of memory that a process could still allocate. */
export function freeMemory(): number {
  const { available, swapFree } = Deno.systemMemoryInfo();
  return available + swapFree;
}

/** A number of bytes for display, of a file. */
export function inMegabytes(bytes: number): string {
  return `${Math.ceil(bytes / 1e6).toLocaleString("en")} MB`;
}

/** A number of bytes for display. */
export function inGib(bytes: number): string {
  return `${(bytes / GIB).toFixed(1)} GiB`;
}

/**
 * How much may be unpacked: a small archive can hold more than any machine, and is refused before memory is gone.
 *
 * @module
 */

import { NotText } from "./formats.ts";

const GIB = 2 ** 30;

/** Room for what is unpacked, counted down by all files of a text. */
export class Room {
  #left: number;

  /** Room for `bytes` bytes. */
  constructor(readonly bytes: number) {
    this.#left = bytes;
  }

  /** Half of the memory that is free: while it is unpacked, and again while files are joined, a text is there twice. */
  static ofMachine(): Room {
    return new Room(freeMemory() / 2);
  }

  /** Takes room. @throws {NotText} where there is less */
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

/** Bytes of memory that a process could still get. */
export function freeMemory(): number {
  const { available, swapFree } = Deno.systemMemoryInfo();
  return available + swapFree;
}

/** A number of bytes for people. */
export function inGib(bytes: number): string {
  return `${(bytes / GIB).toFixed(1)} GiB`;
}

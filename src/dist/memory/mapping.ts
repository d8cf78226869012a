/**
 * A file's bytes as memory.
 *
 * @module
 */

import { lastError, type Libc, type Refusal } from "./libc.ts";

/** `PROT_READ`, `PROT_WRITE`, `MAP_SHARED` in Linux's `mman.h`. */
const READ = 1, WRITE = 2, SHARED = 1;
/** `MAP_FAILED`, as Deno shows an address. */
const FAILED = 2n ** 64n - 1n;

/** Mapped memory, until it is closed. */
export class Mapping {
  #mapped?: { readonly pointer: Deno.PointerObject; readonly buffer: ArrayBuffer };

  private constructor(
    private readonly libc: Libc,
    pointer: Deno.PointerObject,
    private readonly length: number,
  ) {
    this.#mapped = { pointer, buffer: Deno.UnsafePointerView.getArrayBuffer(pointer, length) };
  }

  /** Maps what a file descriptor stands for, which may be closed then. */
  static writable(libc: Libc, fd: number, length: number): Mapping | Refusal {
    return Mapping.#map(libc, fd, length, READ | WRITE);
  }

  /**
   * The same, to be read: a write ends the process. Pages that are in memory are entered as they are read, sixteen at a time, which
   * costs the first reader 5 to 8 ms for 54 MB; to enter all at once costs the same, and nothing else runs meanwhile.
   */
  static readOnly(libc: Libc, fd: number, length: number): Mapping | Refusal {
    return Mapping.#map(libc, fd, length, READ);
  }

  static #map(libc: Libc, fd: number, length: number, access: number): Mapping | Refusal {
    const pointer = libc.symbols.mmap(null, BigInt(length), access, SHARED, fd, 0n);
    if (pointer && Deno.UnsafePointer.value(pointer) !== FAILED) return new Mapping(libc, pointer, length);
    return { refused: `${length} bytes can't be mapped: ${lastError(libc)}` };
  }

  /** Whether it was not closed yet. */
  get isMapped(): boolean {
    return this.#mapped !== undefined;
  }

  /** The memory. Never to be transferred, nor given to what reads or writes it outside this thread. */
  get buffer(): ArrayBuffer {
    if (this.#mapped) return this.#mapped.buffer;
    throw new Error("this segment of shared memory has been closed");
  }

  /** Unmaps it. All views on it are empty from then on. Returns whether it was mapped still. */
  close(): boolean {
    if (!this.#mapped) return false;
    const { pointer, buffer } = this.#mapped;
    this.#mapped = undefined;
    buffer.transfer(0); // detaches the views: the address may be another's next
    this.libc.symbols.munmap(pointer, BigInt(this.length));
    return true;
  }
}

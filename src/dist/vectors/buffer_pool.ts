/**
 * Reused memory: a new buffer is cleared, mapped page by page and garbage-collected, which costs more than the work done in it here.
 *
 * @module
 */

/** Lengths are rounded up to this, so that messages that differ by a few bytes share buffers. */
const GRAIN = 64 * 1024;

/** Buffers of any length; those that are given back are reused. */
export class BufferPool {
  readonly #spare = new Map<number, ArrayBuffer[]>();
  #spareBytes = 0;

  /**
   * An empty pool.
   *
   * @param mostBytes total size of the unused buffers it keeps
   */
  constructor(readonly mostBytes: number) {}

  /** A buffer of `length` bytes with undefined content. */
  take(length: number): Uint8Array<ArrayBuffer> {
    const rounded = Math.ceil(length / GRAIN) * GRAIN;
    const spare = this.#spare.get(rounded)?.pop();
    if (spare) this.#spareBytes -= rounded;
    return new Uint8Array(spare ?? new ArrayBuffer(rounded), 0, length);
  }

  /** Takes back a buffer from {@linkcode BufferPool.take}; no view of it may be used afterwards. */
  give({ buffer }: Uint8Array<ArrayBuffer>): void {
    const { byteLength } = buffer;
    if (this.#spareBytes + byteLength > this.mostBytes) return;
    this.#spareBytes += byteLength;
    const spare = this.#spare.get(byteLength);
    if (spare) spare.push(buffer);
    else this.#spare.set(byteLength, [buffer]);
  }
}

/**
 * Reused memory: a new buffer is cleared, mapped page by page and garbage-collected, which costs more than the work done in it here.
 *
 * @module
 */

/** Lengths are rounded up to this, so that messages that differ by a few bytes share buffers. */
const GRAIN = 64 * 1024;

/** Buffers of any length; those that are given back are kept for the next. */
export class BufferPool {
  readonly #spare = new Map<number, ArrayBuffer[]>();
  #spareBytes = 0;

  /**
   * An empty pool.
   *
   * @param mostBytes that are kept
   */
  constructor(readonly mostBytes: number) {}

  /** A buffer of n bytes, not cleared. */
  take(length: number): Uint8Array<ArrayBuffer> {
    const rounded = Math.ceil(length / GRAIN) * GRAIN;
    const spare = this.#spare.get(rounded)?.pop();
    if (spare) this.#spareBytes -= rounded;
    return new Uint8Array(spare ?? new ArrayBuffer(rounded), 0, length);
  }

  /** Takes back what {@linkcode BufferPool.take} gave, no longer in use. */
  give({ buffer }: Uint8Array<ArrayBuffer>): void {
    const { byteLength } = buffer;
    if (this.#spareBytes + byteLength > this.mostBytes) return;
    this.#spareBytes += byteLength;
    const spare = this.#spare.get(byteLength);
    if (spare) spare.push(buffer);
    else this.#spare.set(byteLength, [buffer]);
  }
}

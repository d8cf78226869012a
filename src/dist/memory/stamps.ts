/**
 * How a reader of shared memory knows that what it has used was whole and the right one, though nobody locks: each of a segment's
 * two buffers has a stamp, a number that rises with each new content (after the sequence locks of H.-J. Boehm, "Can seqlocks get
 * along with programming language memory models?", 2012).
 *
 * A writer renews a buffer's stamp, writes a piece of the new content, and tells where it lies in a message that carries the stamp.
 * A reader compares the stamp *before and after* it has used the piece: where it is another one by then, the buffer has begun to
 * hold other content, and what was computed from it must be dropped. A process that was frozen, and writes or reads again when it
 * wakes up, is noticed that way. One that dies while it writes a piece has not told of it.
 *
 * Order in memory: the stamps are read and written by `Atomics`, which V8 compiles to the same instructions for memory of its own
 * and shared memory, neither moved nor split. The contents are ordinary memory. On ARM later ordinary stores may overtake an atomic
 * store (contents before the renewed stamp), and an atomic load earlier ordinary loads (the second look before the contents), so a
 * full fence lies between stamp and contents: WebAssembly's `atomic.fence`, the only one there is. x86 keeps loads in order, and
 * stores; there the fence is 40 ns for nothing.
 *
 * @module
 */

/** Buffers of a segment: while one is read the other can be written. */
export const BUFFERS = 2;

/** Words from one buffer's stamp to the next, a line of the processor's cache. */
const WORDS = 16;

/** `(module (func (export "fence") atomic.fence))` */
const FENCE_MODULE = new Uint8Array([
  ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00], // magic, version
  ...[0x01, 0x04, 0x01, 0x60, 0x00, 0x00], // a type without parameters and results
  ...[0x03, 0x02, 0x01, 0x00], // a function of it
  ...[0x07, 0x09, 0x01, 0x05, 0x66, 0x65, 0x6e, 0x63, 0x65, 0x00, 0x00], // exported as "fence"
  ...[0x0a, 0x07, 0x01, 0x05, 0x00, 0xfe, 0x03, 0x00, 0x0b], // atomic.fence, end
]);

/** No access to memory passes it, in either direction. */
const fence = new WebAssembly.Instance(new WebAssembly.Module(FENCE_MODULE)).exports.fence as () => void;

/**
 * Begins a new content of a buffer: what it held is valid for nobody from now on.
 *
 * @param stamps the words of all buffers' stamps in shared memory
 * @param buffer 0 or 1
 * @returns the stamp of all that is written until the next one, 1 or more
 */
export function renew(stamps: Uint32Array, buffer: number): number {
  const at = wordOf(buffer);
  const stamp = (Atomics.load(stamps, at) + 1 >>> 0) || 1; // 0 is that of a buffer that never held anything
  Atomics.store(stamps, at, stamp);
  fence();
  return stamp;
}

/** Whether a buffer holds the content of a stamp, now. True before *and* after it was used: what was used counts. */
export function holds(stamps: Uint32Array, buffer: number, stamp: number): boolean {
  const at = wordOf(buffer);
  fence();
  const isSame = Atomics.load(stamps, at) === stamp;
  fence();
  return stamp > 0 && isSame;
}

/** Where a buffer's stamp is. */
function wordOf(buffer: number): number {
  if (buffer === 0 || buffer === 1) return buffer * WORDS;
  throw new RangeError(`a segment has buffers 0 and 1, and not ${buffer}`);
}

/**
 * How a reader of shared memory knows that what it has used was whole and the right one, though nobody locks: a sequence lock
 * (H.-J. Boehm, "Can seqlocks get along with programming language memory models?", 2012) for each of two buffers.
 *
 * A writer clears a buffer's stamp, writes, and sets the stamp. A reader compares it *before and after* it has used what is
 * there; a difference means that what was computed from it must be dropped. A process that was frozen and writes again when it
 * wakes up is noticed that way, and one that died while it wrote, too.
 *
 * Order in memory: the stamp's words are read and written by `Atomics`, which V8 compiles to the same instructions for memory of
 * its own and shared memory, neither moved nor split. The contents are ordinary memory. On ARM later ordinary stores may overtake
 * an atomic store (contents before the cleared stamp), and an atomic load earlier ordinary loads (the second look before the
 * contents), so a full fence lies between stamp and contents: WebAssembly's `atomic.fence`, the only one there is. x86 keeps
 * loads in order, and stores; there the fence is 40 ns for nothing.
 *
 * @module
 */

/** What a buffer holds. Travels with the message that refers to it. */
export interface Stamp {
  /** The step whose vector it is. */
  readonly step: number;
  /** The members' generation. */
  readonly generation: number;
  /** How often the buffer had been written, so that it is noticed when it is written again for the same step and generation. */
  readonly writes: number;
}

/** Buffers of a segment: while one is read the other can be written. */
export const BUFFERS = 2;

/** Words of a buffer's stamp, a line of the cache; the first are used. */
const WORDS = 16;
/** Twice the number of writes that have begun, less one while one of them has not ended: odd means invalid. */
const SEQUENCE = 0;
const STEP = 1, GENERATION = 2;

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
 * Clears a buffer's stamp: from now on it is valid for nobody.
 *
 * @param stamps 32 words in shared memory
 * @param buffer 0 or 1
 */
export function beginWriting(stamps: Uint32Array, buffer: number): void {
  const at = wordOf(buffer);
  const sequence = Atomics.load(stamps, at + SEQUENCE);
  if (isValid(sequence)) Atomics.store(stamps, at + SEQUENCE, sequence + 1);
  fence();
}

/**
 * Sets a buffer's stamp: what was written since {@linkcode beginWriting} is valid.
 *
 * @returns the stamp to tell to those who shall read it
 */
export function endWriting(stamps: Uint32Array, buffer: number, step: number, generation: number): Stamp {
  const at = wordOf(buffer);
  const sequence = Atomics.load(stamps, at + SEQUENCE);
  if (isValid(sequence)) throw new Error(`buffer ${buffer} is stamped, and writing to it has not begun`);
  Atomics.store(stamps, at + STEP, step);
  Atomics.store(stamps, at + GENERATION, generation);
  fence();
  Atomics.store(stamps, at + SEQUENCE, sequence + 1);
  return { step, generation, writes: (sequence + 1) / 2 };
}

/** Whether a buffer holds what a stamp says, now. True before *and* after it was used: what was used counts. */
export function holds(stamps: Uint32Array, buffer: number, { step, generation, writes }: Stamp): boolean {
  const at = wordOf(buffer);
  fence();
  const isSame = Atomics.load(stamps, at + SEQUENCE) === 2 * writes &&
    Atomics.load(stamps, at + STEP) === step &&
    Atomics.load(stamps, at + GENERATION) === generation;
  fence();
  return writes > 0 && isSame;
}

function isValid(sequence: number): boolean {
  return sequence % 2 === 0;
}

/** Where a buffer's stamp begins. */
function wordOf(buffer: number): number {
  if (buffer === 0 || buffer === 1) return buffer * WORDS;
  throw new RangeError(`a segment has buffers 0 and 1, and not ${buffer}`);
}

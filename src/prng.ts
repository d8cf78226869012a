/**
 * Counter-based random numbers: every value is a function of (seed, purpose, index), so nothing has to be stored,
 * restored or drawn in order. The generator is Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011).
 *
 * @module
 */

const MULTIPLIER_0 = 0xd2511f53;
const MULTIPLIER_1 = 0xcd9e8d57;
const WEYL_0 = 0x9e3779b9;
const WEYL_1 = 0xbb67ae85;

/** The high 32 bits of the 64-bit product of two unsigned 32-bit integers. */
function multiplyHigh(a: number, b: number): number {
  const a0 = a & 0xffff, a1 = a >>> 16;
  const b0 = b & 0xffff, b1 = b >>> 16;
  const middle = a1 * b0 + ((a0 * b0) >>> 16);
  const low = (middle & 0xffff) + a0 * b1;
  return (a1 * b1 + Math.floor(middle / 0x10000) + Math.floor(low / 0x10000)) >>> 0;
}

/** Philox4x32-10: four random 32-bit words from a counter of four words and a key of two, written to `out`. */
export function philox(counter: ArrayLike<number>, key: ArrayLike<number>, out: Uint32Array): void {
  let c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
  let k0 = key[0], k1 = key[1];
  for (let round = 0; round < 10; round++) {
    const high0 = multiplyHigh(MULTIPLIER_0, c0), low0 = Math.imul(MULTIPLIER_0, c0) >>> 0;
    const high1 = multiplyHigh(MULTIPLIER_1, c2), low1 = Math.imul(MULTIPLIER_1, c2) >>> 0;
    c0 = (high1 ^ c1 ^ k0) >>> 0;
    c1 = low1;
    c2 = (high0 ^ c3 ^ k1) >>> 0;
    c3 = low0;
    k0 = (k0 + WEYL_0) >>> 0;
    k1 = (k1 + WEYL_1) >>> 0;
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
}

/** 32-bit FNV-1a of a text: turns a purpose ("init token_emb.weight") into a word of the counter. */
function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193) >>> 0;
  return hash;
}

/** One endless stream of random numbers. Reading index i twice gives the same number. */
export interface RandomStream {
  /** Unsigned 32-bit integer number `index` of the stream. */
  word(index: number): number;
  /** Number `index` of the stream in [0, 1), with 24 random bits, exact in float32. */
  uniform(index: number): number;
}

/**
 * The stream for a seed (an integer below 2^53) and a purpose.
 *
 * @example
 * ```ts
 * import { randomStream } from "./prng.ts";
 * const numbers = randomStream(1, "dropout layer 0");
 * console.assert(numbers.uniform(5) === randomStream(1, "dropout layer 0").uniform(5));
 * ```
 */
export function randomStream(seed: number, purpose: string): RandomStream {
  const key = [seed >>> 0, Math.floor(seed / 0x100000000) >>> 0];
  const counter = [0, 0, hashText(purpose), hashText(`${purpose}'`)];
  const block = new Uint32Array(4);
  let held = -1; // which block of four words `block` holds
  const word = (index: number) => {
    const at = Math.floor(index / 4);
    if (at !== held) {
      counter[0] = at >>> 0;
      counter[1] = Math.floor(at / 0x100000000) >>> 0;
      philox(counter, key, block);
      held = at;
    }
    return block[index % 4];
  };
  return { word, uniform: (index) => (word(index) >>> 8) / 0x1000000 };
}

/** `size` numbers uniform in [low, high), as float32. */
export function uniformArray(
  size: number,
  seed: number,
  purpose: string,
  low: number,
  high: number,
): Float32Array {
  const stream = randomStream(seed, purpose);
  const values = new Float32Array(size);
  for (let i = 0; i < size; i++) values[i] = low + (high - low) * stream.uniform(i);
  return values;
}

/** `size` normally distributed numbers with the given standard deviation, as float32 (Box–Muller on pairs of uniforms). */
export function normalArray(size: number, seed: number, purpose: string, deviation: number): Float32Array {
  const stream = randomStream(seed, purpose);
  const values = new Float32Array(size);
  for (let i = 0; i < size; i++) {
    const pair = i - (i % 2);
    const radius = Math.sqrt(-2 * Math.log(1 - stream.uniform(pair)));
    const angle = 2 * Math.PI * stream.uniform(pair + 1);
    values[i] = deviation * radius * (i % 2 === 0 ? Math.cos(angle) : Math.sin(angle));
  }
  return values;
}

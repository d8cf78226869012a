/**
 * A random order of an epoch that is computed, not stored: a Feistel network permutes the integers below a power of
 * four, and cycle walking restricts that to any size (Black and Rogaway, "Ciphers with arbitrary finite domains", 2002).
 *
 * @module
 */

import { randomStream } from "../prng.ts";

/** Four rounds with independent random functions are a pseudorandom permutation (Luby and Rackoff, 1988). */
const ROUNDS = 4;

/**
 * The permutation of the integers in [0, size) for a seed and an epoch.
 *
 * @param size from 1 to 2^32
 * @returns the image of each index; an index outside [0, size) is a RangeError
 *
 * @example
 * ```ts
 * import { permutation } from "./permutation.ts";
 * const order = permutation(5, 1, 0);
 * console.assert([0, 1, 2, 3, 4].map(order).toSorted().join() === "0,1,2,3,4");
 * ```
 */
export function permutation(size: number, seed: number, epoch: number): (index: number) => number {
  const halfBits = Math.max(1, Math.ceil(Math.log2(size) / 2));
  const half = 2 ** halfBits; // the network permutes [0, half²), and half² ≥ size
  const random = randomStream(seed, `order of epoch ${epoch}`);

  const encrypt = (value: number) => {
    let left = Math.floor(value / half), right = value % half;
    for (let round = 0; round < ROUNDS; round++) {
      [left, right] = [right, (left ^ random.word(round * half + right)) & (half - 1)];
    }
    return left * half + right;
  };

  return (index) => {
    if (!(index >= 0 && index < size)) throw new RangeError(`index ${index} is not in [0, ${size})`);
    let value = encrypt(index);
    while (value >= size) value = encrypt(value); // half² < 4 · size: under four rounds of this on average
    return value;
  };
}

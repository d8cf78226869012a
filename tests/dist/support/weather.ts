/**
 * What can happen to messages in flight, by a seed.
 *
 * @module
 */

import { randomStream } from "../../../src/prng.ts";
import type { Weather } from "./memory_bus.ts";

/** Loses, doubles, delays (so that later ones overtake) and damages messages, each with the probability given. */
export function storm(
  seed: number,
  chances: { lose: number; double: number; delay: number; damage: number },
): Weather {
  const { uniform } = randomStream(seed, "storm");
  let drawn = 0;
  const draw = () => uniform(drawn++);
  return (data) => {
    if (draw() < chances.lose) return [];
    const copies = draw() < chances.double ? 2 : 1;
    return Array.from({ length: copies }, () => {
      const delay = draw() < chances.delay ? 20 * draw() : 0;
      return { data: draw() < chances.damage ? damaged(data, draw()) : data, delay };
    });
  };
}

function damaged(data: Uint8Array, where: number): Uint8Array {
  const copy = data.slice();
  const bit = Math.floor(where * 8 * data.length);
  copy[bit >> 3] ^= 1 << (bit & 7);
  return copy;
}

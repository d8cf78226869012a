/** The kernel against the arithmetic in plain TypeScript. @module */

import assert from "node:assert/strict";
import { CODEC_NAMES, codecOf } from "../../../src/dist/codecs/codecs.ts";
import { CHUNK } from "../../../src/dist/codecs/kernel.ts";
import { floatBytes } from "../../../src/dist/frames.ts";
import { averageInto } from "../../../src/dist/open_step.ts";
import { addInto, divideBy } from "../../../src/dist/reduction.ts";
import { subtrees } from "../../../src/dist/tree.ts";
import { normalArray, randomStream } from "../../../src/prng.ts";

/** Values of all magnitudes, subnormal ones too. */
function mixed(size: number, seed: number): Float32Array {
  const { uniform } = randomStream(seed, "exponents");
  return normalArray(size, seed, "mixed", 1).map((value, i) =>
    value * 2 ** (Math.floor(uniform(i >> 10) * 230) - 140)
  );
}

/** Each value as its codec defines it: from its half, or from its code and its block's scale. */
function decodePlainly(name: string, bytes: Uint8Array, count: number): Float32Array {
  const { buffer } = bytes.slice();
  if (name === "float32") return new Float32Array(buffer);
  if (name === "bfloat16") {
    return new Float32Array(Uint32Array.from(new Uint16Array(buffer), (half) => half << 16).buffer);
  }
  const blocks = Math.ceil(count / 256);
  const scales = new Float32Array(buffer, 0, blocks), codes = new Int8Array(buffer, 4 * blocks);
  return Float32Array.from(codes, (code, i) => code * scales[i >> 8]);
}

Deno.test("averageInto() gives the bits of decoding, adding in the tree's order and dividing, for every codec", () => {
  const leaves = 7;
  for (const name of CODEC_NAMES) {
    const codec = codecOf(name);
    for (const size of [1, 3, 255, 257, CHUNK, CHUNK + 1, 2 * CHUNK + 1030]) {
      for (const tokens of [1, 3, 1000, 2 ** 24 + 1]) {
        const nodes = [[0, 3], [3, 5], [5, 7]].flatMap(([lo, hi]) => subtrees(lo, hi, leaves));
        const sums = new Map(nodes.map(([lo, hi], i) => {
          const bytes = codec.encode(mixed(size, i + tokens));
          const unaligned = new Uint8Array(bytes.length + 1).subarray(1);
          unaligned.set(bytes);
          return [`${lo}-${hi}`, unaligned];
        }));
        const plain = [...sums.values()].map((bytes) => decodePlainly(name, bytes, size));
        // [0, 2), and the others one by one.
        const [a, b, c, d, e, f] = plain;
        addInto(b, c);
        addInto(a, b);
        addInto(d, e);
        addInto(d, f);
        addInto(a, d);
        divideBy(a, tokens);
        const mean = new Float32Array(size).fill(7);
        averageInto(mean, sums, { codec, leaves, tokens });
        assert.deepEqual(floatBytes(mean), floatBytes(a), `${name}, ${size} values, ${tokens} tokens`);
      }
    }
  }
});

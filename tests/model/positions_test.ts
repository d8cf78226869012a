import assert from "node:assert/strict";
import { inverseFrequencies } from "../../src/model/frequencies.ts";
import {
  bucketRows,
  distanceBucket,
  relativeBias,
  rotaryTables,
  rotate,
  sinusoidalPositions,
} from "../../src/model/positions.ts";
import { normalArray } from "../../src/prng.ts";
import { tf } from "../../src/tensorflow/mod.ts";
import { eachBackend, onBackend } from "./backends.ts";
import { assertClose } from "./fixtures.ts";
import { bucketOf } from "./oracle.ts";

eachBackend("rotate() turns pairs of neighbouring features by the golden angles", () => {
  const x = tf.tensor2d([1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0], [2, 8]);
  const turned = rotate(x, rotaryTables(2, inverseFrequencies(8))).arraySync() as number[][];
  assert.deepEqual(turned[0], [1, 0, 1, 0, 1, 0, 1, 0]);
  const golden = [.540302, .841471, .995004, .099833, .99995, .01, 1, .001];
  // the golden values have six digits
  golden.forEach((value, i) => assert(Math.abs(turned[1][i] - value) < 1e-6, `feature ${i}`));
});

eachBackend("rotate() leaves the features beyond the tables alone, and lengths as they are", () => {
  const x = tf.tensor3d(normalArray(2 * 5 * 40, 1, "x", 1), [2, 5, 40]);
  const turned = rotate(x, rotaryTables(5, inverseFrequencies(32)));
  const beyond = (t: tf.Tensor) => tf.slice(t, [0, 0, 32]).dataSync();
  assert.deepEqual(beyond(turned), beyond(x));
  const lengths = (t: tf.Tensor) => tf.sum(tf.square(t), -1).dataSync<"float32">();
  assertClose(lengths(turned), lengths(x), "lengths");
});

onBackend("cpu", "positions 256 and 257, and 8190 and 8191, stay apart", () => {
  const { cos, sin } = rotaryTables(8192, inverseFrequencies(32));
  const at = (n: number) => [cos, sin].flatMap((table) => tf.slice(table, [n, 0], [1, 16]).arraySync()[0]);
  assert.notDeepEqual(at(256), at(257));
  assert.notDeepEqual(at(8190), at(8191));
  const angle = 8191 * inverseFrequencies(32)[3];
  assert(Math.abs(at(8191)[3] - Math.cos(angle)) < 1e-4); // the angle is rounded to float32, as in PyTorch: 2e-5 here
});

onBackend("cpu", "sinusoidalPositions() has the sines of all frequencies, then their cosines", () => {
  const [, , third] = sinusoidalPositions(3, inverseFrequencies(4)).arraySync();
  assertClose(third, [Math.sin(2), Math.sin(0.02), Math.cos(2), Math.cos(0.02)], "position 2");
});

Deno.test("distanceBucket() begins its buckets at the golden distances", () => {
  for (const causal of [true, false]) {
    for (let distance = -300; distance <= 300; distance++) {
      assert.equal(
        distanceBucket(distance, causal, 32),
        bucketOf(distance, causal),
        `${distance}, causal ${causal}`,
      );
    }
  }
});

for (const causal of [true, false]) {
  eachBackend(
    `relativeBias() looks every distance up, and its gradient counts them: causal ${causal}`,
    () => {
      const c = 150;
      const table = tf.tensor2d(normalArray(32, 1, "table", 1), [32, 1]);
      const rows = bucketRows(c, causal, 32);
      const bias = relativeBias(table, rows, 3);
      const values = table.dataSync();
      const pairs = Array.from({ length: c * c }, (_, at) => bucketOf(at % c - Math.floor(at / c), causal));
      assertClose(bias.dataSync<"float32">(), pairs.map((bucket) => 3 * values[bucket]), "bias");

      const gradient = tf.grad((table: tf.Tensor) => tf.sum(relativeBias(table, rows, 3)))(table);
      const counts = new Float32Array(32);
      for (const bucket of pairs) counts[bucket] += 3;
      assertClose(gradient.dataSync<"float32">(), counts, "gradient");
    },
  );
}

/** @module */

import assert from "node:assert/strict";
import { randomStream } from "../../../src/prng.ts";
import { withEntry } from "../../../src/dist/state/persistent_map.ts";

Deno.test("withEntry() is a copied Map with the entry set, whatever came before", () => {
  const { word } = randomStream(1, "entries");
  let map: ReadonlyMap<number, number> = new Map(), plain = new Map<number, number>();
  for (let draw = 0; draw < 2000; draw++) {
    const before = map, entriesBefore = [...map];
    const key = word(2 * draw) % (draw < 1000 ? 100 : 200), value = word(2 * draw + 1);
    map = withEntry(map, key, value);
    plain = new Map(plain).set(key, value);
    assert.deepEqual([...map], [...plain]);
    assert.deepEqual([...before], entriesBefore);
  }
  const called: [number, number][] = [];
  map.forEach((value, key) => called.push([key, value]));
  for (const entries of [called, [...map.entries()], [...new Map(map)]]) {
    assert.deepEqual(entries, [...plain]);
  }
  assert.deepEqual([...map.keys()], [...plain.keys()]);
  assert.deepEqual([...map.values()], [...plain.values()]);
  assert.equal(map.size, plain.size);
  for (let key = 0; key < 250; key++) {
    assert.deepEqual([map.has(key), map.get(key)], [plain.has(key), plain.get(key)]);
  }
});

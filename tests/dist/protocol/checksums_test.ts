/** @module */

import assert from "node:assert/strict";
import { checksumOfNames, checksumOfSamples } from "../../../src/dist/protocol/checksums.ts";

Deno.test("a checksum of names tells sets of members apart, not their order", () => {
  assert.equal(checksumOfNames(["b", "a"]), checksumOfNames(new Set(["a", "b"])));
  const others = [["a"], ["a", "b", "c"], ["ab"], ["a", "c"], []];
  assert.equal(new Set([...others, ["a", "b"]].map(checksumOfNames)).size, others.length + 1);
});

Deno.test("a checksum of samples tells lists apart, dropped samples and order included", () => {
  const lists = [[], [0], [null], [1, 2], [2, 1], [12], [1, null, 2]];
  assert.equal(new Set(lists.map(checksumOfSamples)).size, lists.length);
});

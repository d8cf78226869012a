import assert from "node:assert/strict";
import { layoutDifference, layoutOf } from "../src/layout.ts";

Deno.test("layoutOf() lays parameters out one after the other, without gaps", () => {
  const layout = layoutOf([["a", [2, 3]], ["scalar", []], ["b", [4]]]);
  assert.deepEqual(layout.entries, [
    { name: "a", shape: [2, 3], offset: 0, size: 6 },
    { name: "scalar", shape: [], offset: 6, size: 1 },
    { name: "b", shape: [4], offset: 7, size: 4 },
  ]);
  assert.equal(layout.size, 11);
});

Deno.test("layoutOf() gives other fingerprints for other names, shapes and orders, and equal ones for equal layouts", () => {
  const fingerprint = (...parameters: [string, number[]][]) => layoutOf(parameters).fingerprint;
  const ours = fingerprint(["a", [2, 3]], ["b", [4]]);
  assert.equal(fingerprint(["a", [2, 3]], ["b", [4]]), ours);
  const others = [
    fingerprint(["a", [3, 2]], ["b", [4]]),
    fingerprint(["c", [2, 3]], ["b", [4]]),
    fingerprint(["b", [4]], ["a", [2, 3]]),
    fingerprint(["a", [2, 3]]),
  ];
  assert.equal(new Set([ours, ...others]).size, 5);
});

Deno.test("layoutDifference() names the first parameter that differs, also where one side has none", () => {
  const ours = layoutOf([["a", [2, 3]], ["b", [4]]]);
  assert.equal(layoutDifference(ours, layoutOf([["a", [2, 3]], ["b", [4]]])), undefined);
  assert.equal(
    layoutDifference(ours, layoutOf([["a", [2, 3]], ["b", [5]]])),
    "parameter 1 is b [4] here and b [5] there",
  );
  assert.equal(
    layoutDifference(ours, layoutOf([["a", [2, 3]]])),
    "parameter 1 is b [4] here and nothing there",
  );
});

/** @module */

import assert from "node:assert/strict";
import { shareOut } from "../../../src/dist/steps/work_sharing.ts";
import { pathTo } from "../../../src/dist/vectors/tree.ts";

Deno.test("shareOut() gives each member a part of a large subtree, cut at nodes of the tree", () => {
  assert.deepEqual(shareOut([[4, 8]], new Map([["a", 0], ["b", 0]])), { a: [[4, 6]], b: [[6, 8]] });
  assert.deepEqual(shareOut([[0, 8]], new Map([["a", 0], ["b", 0], ["c", 0]])), {
    a: [[4, 8]],
    b: [[0, 2]],
    c: [[2, 4]],
  });
});

Deno.test("shareOut() spares busy members", () => {
  assert.deepEqual(shareOut([[6, 7]], new Map([["a", 3], ["b", 1]])), { b: [[6, 7]] });
  assert.deepEqual(shareOut([[2, 3], [4, 8]], new Map([["a", 5], ["b", 0]])), { a: [[2, 3]], b: [[4, 8]] });
});

Deno.test("shareOut() gives each micro-batch once, in nodes, and to each member as few as possible", () => {
  for (let members = 1; members <= 5; members++) {
    for (
      const orphans of [[[0, 8], [8, 12]], [[3, 4], [4, 8], [12, 13]], [[12, 13]]] as [number, number][][]
    ) {
      const loads = new Map(Array.from({ length: members }, (_, i) => [`m${i}`, i] as const));
      const shares = shareOut(orphans, loads);
      const pieces = Object.values(shares).flat();
      for (const [lo, hi] of pieces) assert.ok(pathTo(lo, hi, 13), `${lo}-${hi}`);
      const all = (ranges: (readonly [number, number])[]) =>
        ranges.flatMap(([lo, hi]) => Array.from({ length: hi - lo }, (_, i) => lo + i)).sort((a, b) => a - b);
      assert.deepEqual(all(pieces), all(orphans));
      const most = Math.max(...Object.values(shares).map(({ length }) => length));
      assert.equal(most, Math.ceil(pieces.length / members));
    }
  }
});

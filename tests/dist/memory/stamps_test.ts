/** @module */

import assert from "node:assert/strict";
import { holds, renew } from "../../../src/dist/memory/stamps.ts";

const fresh = () => new Uint32Array(32);

Deno.test("a stamp holds until its buffer is renewed", () => {
  const stamps = fresh();
  const stamp = renew(stamps, 0);
  assert.ok(holds(stamps, 0, stamp));
  const next = renew(stamps, 0);
  assert.ok(!holds(stamps, 0, stamp));
  assert.ok(holds(stamps, 0, next));
});

Deno.test("a stamp holds for its buffer only, and one buffer is renewed while the other holds", () => {
  const stamps = fresh();
  const first = renew(stamps, 0);
  assert.ok(!holds(stamps, 1, first));
  const second = renew(stamps, 1);
  assert.ok(holds(stamps, 0, first) && holds(stamps, 1, second));
  for (const wrong of [0, 2, -1, NaN]) assert.ok(!holds(stamps, 1, wrong), String(wrong));
});

Deno.test("a buffer that was never written holds nothing, however often the others were", () => {
  const stamps = fresh();
  assert.ok(!holds(stamps, 0, 0));
  stamps[0] = 2 ** 32 - 1;
  const stamp = renew(stamps, 0);
  assert.equal(stamp, 1);
  assert.ok(holds(stamps, 0, stamp));
});

Deno.test("only two buffers have a stamp", () => {
  for (const buffer of [-1, 2, 0.5, NaN]) {
    assert.throws(() => renew(fresh(), buffer), RangeError);
    assert.throws(() => holds(fresh(), buffer, 1), RangeError);
  }
});

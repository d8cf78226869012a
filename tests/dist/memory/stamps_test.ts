/** @module */

import assert from "node:assert/strict";
import { beginWriting, endWriting, holds } from "../../../src/dist/memory/stamps.ts";

const fresh = () => new Uint32Array(32);

Deno.test("a stamp holds from the end of writing to the beginning of the next", () => {
  const stamps = fresh();
  beginWriting(stamps, 0);
  const stamp = endWriting(stamps, 0, 7, 3);
  assert.deepEqual(stamp, { step: 7, generation: 3, writes: 1 });
  assert.ok(holds(stamps, 0, stamp));
  beginWriting(stamps, 0);
  assert.ok(!holds(stamps, 0, stamp), "while it is written");
  const next = endWriting(stamps, 0, 7, 3);
  assert.ok(!holds(stamps, 0, stamp), "written again for the same step and generation");
  assert.ok(holds(stamps, 0, next));
});

Deno.test("a stamp of another step, generation, write or buffer does not hold", () => {
  const stamps = fresh();
  beginWriting(stamps, 1);
  const stamp = endWriting(stamps, 1, 7, 3);
  assert.ok(holds(stamps, 1, stamp));
  assert.ok(!holds(stamps, 0, stamp));
  for (const wrong of [{ step: 8 }, { step: NaN }, { generation: 4 }, { writes: 2 }, { writes: 0 }]) {
    assert.ok(!holds(stamps, 1, { ...stamp, ...wrong }), JSON.stringify(wrong));
  }
});

Deno.test("one buffer is written while the other holds", () => {
  const stamps = fresh();
  beginWriting(stamps, 0);
  const first = endWriting(stamps, 0, 1, 1);
  beginWriting(stamps, 1);
  assert.ok(holds(stamps, 0, first));
  const second = endWriting(stamps, 1, 2, 1);
  assert.ok(holds(stamps, 0, first) && holds(stamps, 1, second));
});

Deno.test("a buffer that was never written holds nothing", () => {
  assert.ok(!holds(fresh(), 0, { step: 0, generation: 0, writes: 0 }));
});

Deno.test("writing that was broken off begins again, and leaves no valid stamp between", () => {
  const stamps = fresh();
  beginWriting(stamps, 0);
  const old = endWriting(stamps, 0, 1, 1);
  beginWriting(stamps, 0);
  beginWriting(stamps, 0);
  assert.ok(!holds(stamps, 0, old));
  assert.ok(holds(stamps, 0, endWriting(stamps, 0, 2, 1)));
});

Deno.test("a stamp is not set where writing has not begun, and only two buffers have one", () => {
  const stamps = fresh();
  assert.throws(() => endWriting(stamps, 0, 1, 1), /writing to it has not begun/);
  for (const buffer of [-1, 2, 0.5, NaN]) {
    assert.throws(() => beginWriting(stamps, buffer), RangeError);
    assert.throws(() => holds(stamps, buffer, { step: 1, generation: 1, writes: 1 }), RangeError);
  }
});

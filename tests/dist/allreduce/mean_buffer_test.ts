/** @module */

import assert from "node:assert/strict";
import { codecOf } from "../../../src/dist/vectors/codecs.ts";
import { Means } from "../../../src/dist/allreduce/mean_buffer.ts";
import { partOfMean as partOf } from "../support/part_of_mean.ts";

const means = () => new Means(4, 2, codecOf("float32"));

Deno.test("a mean is complete with all parts of one attempt, never with parts of two", () => {
  const all = { openedIn: 5, leaves: 3 },
    fewer = { openedIn: 5, leaves: 2 },
    again = { openedIn: 7, leaves: 3 };
  for (const [first, second] of [[all, fewer], [fewer, again]]) {
    const buffer = means();
    assert.ok(buffer.take(partOf(0, 1, first)));
    assert.ok(buffer.take(partOf(1, 2, second)));
    assert.equal(buffer.of(3), undefined);
    assert.equal(buffer.take(partOf(0, 1, first)), false, "it comes too late");
    assert.equal(buffer.of(3), undefined);
    assert.ok(buffer.take(partOf(0, 2, second)));
    assert.deepEqual(buffer.of(3, second)?.values, new Float32Array([2, 2, 2, 2]));
    assert.equal(buffer.of(3, first), undefined);
  }
});

Deno.test("means of steps far ahead, which may not belong to the run, give way to the next ones", () => {
  const size = 2 ** 23, part = 2 ** 16; // so large that there is room for four
  const buffer = new Means(size, part, codecOf("float32"));
  const payload = new Uint8Array(4 * part);
  const take = (step: number) =>
    buffer.take({ ...partOf(0, 1, { openedIn: 1, leaves: 1 }), step, parts: size / part, payload });
  for (let ahead = 0; ahead < 4; ahead++) assert.ok(take(0xffff_ffff - ahead));
  assert.equal(take(0xffff_fff0), true, "rather the earlier one");
  assert.equal(take(0xffff_ffff), false);
  for (const step of [8, 9, 10]) assert.ok(take(step), `step ${step}`);
});

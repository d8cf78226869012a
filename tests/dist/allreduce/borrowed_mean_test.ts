/** Means that stay in a reducer's memory. @module */

import assert from "node:assert/strict";
import { Means } from "../../../src/dist/allreduce/mean_buffer.ts";
import { MeanMemory } from "../../../src/dist/allreduce/mean_memory.ts";
import { encodeReference } from "../../../src/dist/memory/reference.ts";
import type { Frame } from "../../../src/dist/protocol/frames.ts";
import { codecOf } from "../../../src/dist/vectors/codecs.ts";
import { floatBytes } from "../../../src/dist/vectors/floats.ts";
import { partOfMean as partOf } from "../support/part_of_mean.ts";

const means = () => new Means(4, 2, codecOf("float32"));

/** A mean of four values in shared memory, and frames that refer to its two parts. */
async function shared() {
  const memory = await MeanMemory.create(16);
  if ("refused" in memory) throw new Error(memory.refused);
  const publish = (part: number, value: number, attempt = { openedIn: 5, leaves: 3 }) => {
    const { bytes, reference } = memory.at(8 * part, 8)!;
    bytes.set(floatBytes(new Float32Array(2).fill(value)));
    const frame = { ...partOf(part, 0, attempt), sender: "c", byReference: true };
    return { ...frame, payload: encodeReference(reference) };
  };
  return { memory, publish, [Symbol.dispose]: () => memory[Symbol.dispose]() };
}

const ignore = Deno.build.os !== "linux";

Deno.test({
  name: "a mean that lies whole in a reducer's memory stays there, and counts while it is there",
  ignore,
  async fn() {
    using reducer = await shared();
    using buffer = means();
    reducer.memory.begin();
    assert.ok(buffer.take(reducer.publish(0, 1), true));
    assert.ok(buffer.take(reducer.publish(1, 2), true));
    const mean = buffer.of(3)!;
    assert.deepEqual(mean.values, new Float32Array([1, 1, 2, 2]));
    reducer.memory.begin();
    assert.ok(mean.holds(), "another one is written into the other buffer");
    reducer.memory.begin();
    assert.ok(!mean.holds());
  },
});

Deno.test({
  name: "one who may not borrow copies, and so does one whose parts lie in several places",
  ignore,
  async fn() {
    using reducer = await shared(), other = await shared();
    const inBytes = (part: number, value: number) => partOf(part, value, { openedIn: 5, leaves: 3 });
    const ways: (() => Frame[])[] = [
      () => [reducer.publish(0, 1), reducer.publish(1, 2)],
      () => [reducer.publish(0, 1), { ...other.publish(1, 2), sender: "d" }],
      () => [reducer.publish(0, 1), inBytes(1, 2)],
      () => [inBytes(0, 1), reducer.publish(1, 2)],
    ];
    for (const [i, way] of ways.entries()) {
      using buffer = means();
      reducer.memory.begin();
      other.memory.begin();
      for (const frame of way()) assert.ok(buffer.take(frame, i > 0));
      reducer.memory.begin();
      reducer.memory.begin();
      reducer.publish(0, 7);
      const mean = buffer.of(3)!;
      assert.ok(mean.holds(), `way ${i}`);
      assert.deepEqual(mean.values, new Float32Array([1, 1, 2, 2]));
    }
  },
});

Deno.test({
  name: "a part that was overwritten before it is taken, or while others come, is missing",
  ignore,
  async fn() {
    using reducer = await shared();
    using buffer = means();
    reducer.memory.begin();
    const late = reducer.publish(0, 7);
    reducer.memory.begin();
    reducer.memory.begin();
    assert.equal(buffer.take(late, true), false);
    assert.ok(buffer.take(reducer.publish(0, 1), true));
    reducer.memory.begin();
    reducer.memory.begin(); // the same attempt begins again: of the part that it had nothing is left
    assert.ok(buffer.take(reducer.publish(1, 2), true));
    assert.equal(buffer.of(3), undefined);
    assert.ok(buffer.take(reducer.publish(0, 1), true));
    assert.deepEqual(buffer.of(3)!.values, new Float32Array([1, 1, 2, 2]));
  },
});

Deno.test({
  name:
    "a later attempt in other memory replaces one that was borrowed, and memory that can't be opened is told",
  ignore,
  async fn() {
    using reducer = await shared();
    using buffer = means();
    reducer.memory.begin();
    assert.ok(buffer.take(reducer.publish(0, 1), true));
    assert.ok(buffer.take(reducer.publish(1, 1), true));
    reducer.memory.begin();
    const fewer = { openedIn: 5, leaves: 2 };
    assert.ok(buffer.take(reducer.publish(0, 2, fewer), true));
    assert.equal(buffer.of(3), undefined);
    assert.ok(buffer.take(reducer.publish(1, 2, fewer), true));
    assert.deepEqual(buffer.of(3, fewer)!.values, new Float32Array(4).fill(2));
    const gone = reducer.publish(0, 3, fewer);
    using fresh = means();
    reducer.memory[Symbol.dispose]();
    const refused = fresh.take(gone, true);
    assert.ok(typeof refused === "object" && /can't be opened/.test(refused.refused));
  },
});

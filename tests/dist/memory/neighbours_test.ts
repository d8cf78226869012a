/** References to memory, and what they lead to. @module */

import assert from "node:assert/strict";
import { isNeighbour, Neighbours } from "../../../src/dist/memory/neighbours.ts";
import {
  decodeReference,
  encodeReference,
  type Reference,
  REFERENCE_BYTES,
} from "../../../src/dist/memory/reference.ts";
import { Segment } from "../../../src/dist/memory/segment.ts";

const ignore = Deno.build.os !== "linux";
const ADDRESS = { pid: 7, fd: 9, bytes: 2 ** 40, nonce: "0123456789abcdef0123456789abcdef" };
const REFERENCE: Reference = {
  address: ADDRESS,
  buffer: 1,
  stamp: 0xffff_ffff,
  offset: 2 ** 39 + 4,
  length: 2 ** 39 - 4,
};

async function createSegment(bytes: number): Promise<Segment> {
  const segment = await Segment.create(bytes);
  if ("refused" in segment) throw new Error(segment.refused);
  return segment;
}

/** Segments that this process has mapped to be read. */
async function mappedForeign(): Promise<number> {
  const { stdout } = await new Deno.Command("cat", { args: [`/proc/${Deno.pid}/maps`] }).output();
  return new TextDecoder().decode(stdout).split("\n").filter((line) => /r--s.*memfd:flashmob/.test(line))
    .length;
}

Deno.test("a reference is read as it was written, also from bytes that are not aligned", () => {
  const bytes = encodeReference(REFERENCE);
  assert.equal(bytes.length, REFERENCE_BYTES);
  assert.deepEqual(decodeReference(bytes), REFERENCE);
  const shifted = new Uint8Array(REFERENCE_BYTES + 1);
  shifted.set(bytes, 1);
  assert.deepEqual(decodeReference(shifted.subarray(1)), REFERENCE);
});

Deno.test("what is no reference, or leads out of its segment, is none", () => {
  const { address } = REFERENCE;
  const wrong: Partial<Reference>[] = [
    { buffer: 2 },
    { stamp: 0 },
    { offset: 2 },
    { offset: -4 },
    { offset: 0.5 },
    { offset: NaN },
    { offset: 2 ** 39 + 8 },
    { length: Infinity },
    { length: -1 },
    { address: { ...address, pid: 0 } },
    { address: { ...address, fd: 2 ** 31 } },
    { address: { ...address, bytes: 0 } },
    { address: { ...address, bytes: 2 ** 60 } },
  ];
  for (const change of wrong) {
    assert.equal(
      decodeReference(encodeReference({ ...REFERENCE, ...change })),
      undefined,
      JSON.stringify(change),
    );
  }
  assert.equal(decodeReference(encodeReference(REFERENCE).subarray(1)), undefined);
  assert.equal(decodeReference(new Uint8Array()), undefined);
});

Deno.test({
  name: "a segment is opened when it is first referred to, and closed when it no longer is",
  ignore,
  async fn() {
    using segment = await createSegment(400);
    const { address } = segment;
    assert.equal(isNeighbour(address), true);
    segment.floats.fill(3);
    const stamp = segment.renew(0);
    using neighbours = new Neighbours();
    assert.equal(await mappedForeign(), 0);
    const piece = neighbours.view("a", { address, buffer: 0, stamp, offset: 8, length: 12 });
    assert.ok("bytes" in piece);
    assert.deepEqual([...new Float32Array(piece.bytes.slice().buffer)], [3, 3, 3]);
    assert.ok(piece.holds());
    assert.equal(await mappedForeign(), 1);
    neighbours.closeUnused();
    assert.ok(piece.holds(), "it was referred to since the last time");
    segment.renew(1);
    assert.ok(piece.holds());
    segment.renew(0);
    assert.ok(!piece.holds());
    neighbours.closeUnused();
    assert.equal(piece.bytes.length, 0);
    assert.ok(!piece.holds());
    assert.equal(await mappedForeign(), 0);
  },
});

Deno.test({
  name: "an owner that has begun anew has another segment, and its old one is closed",
  ignore,
  async fn() {
    using one = await createSegment(400), other = await createSegment(400);
    using neighbours = new Neighbours();
    const view = ({ address }: Segment, buffer = 0) =>
      neighbours.view("a", { address, buffer, stamp: 1, offset: 0, length: 4 });
    one.renew(0);
    other.renew(0);
    const first = view(one);
    assert.ok("bytes" in first && first.holds());
    const second = view(other);
    assert.ok("bytes" in second && second.holds());
    assert.ok(!first.holds() && first.bytes.length === 0);
    assert.equal(await mappedForeign(), 1);
  },
});

Deno.test({
  name: "memory that can't be opened is refused, and what was open stays",
  ignore,
  async fn() {
    using segment = await createSegment(400);
    const { address } = segment, stamp = segment.renew(0);
    using neighbours = new Neighbours();
    const piece = neighbours.view("a", { address, buffer: 0, stamp, offset: 0, length: 4 });
    const elsewhere = { ...address, nonce: ADDRESS.nonce };
    assert.notEqual(isNeighbour(elsewhere), true);
    const refused = neighbours.view("a", { address: elsewhere, buffer: 0, stamp, offset: 0, length: 4 });
    assert.ok("refused" in refused);
    assert.match(refused.refused, /it is another segment/);
    assert.ok("bytes" in piece && piece.holds());
    const untrue = { ...address, bytes: 2 ** 30 }; // of a segment that is open already
    const short = neighbours.view("a", { address: untrue, buffer: 0, stamp, offset: 396, length: 400 });
    assert.ok("bytes" in short && short.bytes.length === 4, "never beyond the segment");
  },
});

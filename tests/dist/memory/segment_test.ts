/** Segments within one process. @module */

import assert from "node:assert/strict";
import { ForeignSegment } from "../../../src/dist/memory/foreign_segment.ts";
import type { SegmentAddress } from "../../../src/dist/memory/header.ts";
import { Segment } from "../../../src/dist/memory/segment.ts";

const ignore = Deno.build.os !== "linux";
const BYTES = 300_000;

async function createSegment(bytes = BYTES): Promise<Segment> {
  const segment = await Segment.create(bytes);
  if ("refused" in segment) throw new Error(segment.refused);
  return segment;
}

function openSegment(address: SegmentAddress): ForeignSegment {
  const segment = ForeignSegment.open(address);
  if ("refused" in segment) throw new Error(segment.refused);
  return segment;
}

/** Why it can't be opened; fails where it can. */
function refusalOf(address: SegmentAddress): string {
  const segment = ForeignSegment.open(address);
  if ("refused" in segment) return segment.refused;
  segment.close();
  assert.fail("it was opened");
}

/** Calls that make what is no segment. */
function openC() {
  return Deno.dlopen("libc.so.6", {
    memfd_create: { parameters: ["buffer", "u32"], result: "i32" },
    fcntl: { parameters: ["i32", "i32", "i32"], result: "i32" },
    ftruncate: { parameters: ["i32", "i64"], result: "i32" },
    open: { parameters: ["buffer", "i32"], result: "i32" },
    fchown: { parameters: ["i32", "u32", "i32"], result: "i32" },
    close: { parameters: ["i32"], result: "i32" },
  });
}

const cString = (text: string) => new TextEncoder().encode(`${text}\0`);

/** What a program prints. */
function outputOf(command: string, ...args: string[]): string {
  const { stdout } = new Deno.Command(command, { args, stderr: "null" }).outputSync();
  return new TextDecoder().decode(stdout);
}

/** Lines of this process's mappings that are segments: address, access, offset, file. */
const mappings = () =>
  outputOf("cat", `/proc/${Deno.pid}/maps`).split("\n").filter((line) => line.includes("/memfd:flashmob"));
/** Its descriptors that are segments. */
const descriptors = () =>
  outputOf("ls", "-l", `/proc/${Deno.pid}/fd`).split("\n").filter((line) => line.includes("/memfd:flashmob"));

Deno.test({
  name: "what is written to a segment is read where it is opened, in whole, without a copy",
  ignore,
  async fn() {
    using segment = await createSegment();
    using opened = openSegment(segment.address);
    assert.equal(segment.floats.length, BYTES / 4);
    assert.equal(opened.bytes.length, BYTES);
    assert.ok(segment.floats.every((value) => value === 0));
    segment.floats.forEach((_, i, floats) => floats[i] = i);
    const copy = new Float32Array(BYTES / 4);
    copy.set(opened.floats);
    assert.deepEqual(copy, segment.floats);
    segment.floats[5] = -1;
    assert.equal(opened.floats[5], -1);
    assert.equal(opened.floats.subarray(5, 6)[0], -1);
  },
});

Deno.test({
  name: "a stamp is seen where the segment is opened",
  ignore,
  async fn() {
    using segment = await createSegment();
    using opened = openSegment(segment.address);
    const stamp = segment.renew(1);
    assert.ok(opened.holds(1, stamp));
    segment.renew(1);
    assert.ok(!opened.holds(1, stamp));
  },
});

Deno.test({
  name: "a segment is mapped to be read only where it is opened, and ends with whole pages of 64 KiB",
  ignore,
  async fn() {
    using segment = await createSegment(65_537);
    using _opened = openSegment(segment.address);
    assert.equal(descriptors().length, 1);
    const found = mappings().map((line) => /^(\w+)-(\w+) (\S+)/.exec(line)!.slice(1));
    assert.deepEqual(found.map(([, , access]) => access).sort(), ["r--s", "rw-s"]);
    for (const [from, to] of found) assert.equal(parseInt(to, 16) - parseInt(from, 16), 3 * 65_536);
  },
});

Deno.test({
  name: "a segment can neither shrink nor grow nor get another seal",
  ignore,
  async fn() {
    using segment = await createSegment();
    const path = `/proc/${segment.address.pid}/fd/${segment.address.fd}`;
    for (const size of ["0", "65536", "100000000"]) {
      const { success, stderr } = await new Deno.Command("truncate", {
        args: ["-s", size, path],
        env: { LC_ALL: "C" },
      }).output();
      assert.ok(!success);
      assert.match(new TextDecoder().decode(stderr), /not permitted/);
    }
    const libc = openC(), [ADD_SEALS, SEAL_WRITE] = [1033, 8];
    assert.equal(libc.symbols.fcntl(segment.address.fd, ADD_SEALS, SEAL_WRITE), -1);
    libc.close();
    const sizeNow = outputOf("stat", "-L", "-c", "%s", path).trim();
    assert.equal(sizeNow, String(6 * 65_536));
  },
});

Deno.test({
  name: "a closed segment throws, its views are empty, and closing it twice closes nothing else",
  ignore,
  async fn() {
    const segment = await createSegment();
    const opened = openSegment(segment.address);
    const floats = segment.floats, read = opened.floats, stamp = segment.renew(0);
    floats.fill(3);
    opened.close();
    assert.throws(() => opened.floats, /has been closed/);
    assert.ok(!opened.holds(0, stamp));
    assert.equal(read.length, 0);
    segment.close();
    assert.throws(() => segment.bytes, /has been closed/);
    assert.throws(() => segment.renew(0), /has been closed/);
    assert.equal(floats.length, 0);
    assert.throws(() => floats.set([1]), TypeError);
    using next = await createSegment(); // has the descriptor, and maybe the address, of the closed one
    segment.close();
    opened.close();
    next.floats.fill(1);
    using again = openSegment(next.address);
    assert.equal(again.floats[0], 1);
    assert.match(refusalOf(segment.address), /another segment/);
  },
});

Deno.test({
  name: "200 segments that are created, opened and closed leave no descriptor and no mapping behind",
  ignore,
  async fn() {
    for (let i = 0; i < 200; i++) {
      const segment = await createSegment(), { address } = segment;
      openSegment(address).close();
      if (i % 20 === 0) {
        refusalOf({ ...address, nonce: "0".repeat(32) });
        refusalOf({ ...address, bytes: 1 });
      }
      segment.close();
    }
    assert.deepEqual(descriptors(), []);
    assert.deepEqual(mappings(), []);
  },
});

Deno.test({
  name: "what is no segment is not opened, and the reason is told",
  ignore,
  async fn() {
    using segment = await createSegment();
    const { address } = segment, { fd } = address;
    assert.match(
      refusalOf({ ...address, nonce: "0".repeat(32) }),
      new RegExp(`^shared memory ${fd} of process ${Deno.pid} can't be opened: it is another segment`),
    );
    assert.match(refusalOf({ ...address, bytes: 2 * BYTES }), /has 393216 bytes, and not 720896$/);
    assert.match(refusalOf({ ...address, pid: 2 ** 22 }), /No such file or directory$/);
    assert.match(refusalOf({ ...address, fd: 100_000 }), /No such file or directory$/);
  },
});

Deno.test({
  name: "an address that is none is refused before anything is looked at",
  ignore,
  async fn() {
    using segment = await createSegment();
    const wrong: Record<string, unknown[]> = {
      pid: [0, -1, 1.5, NaN, 2 ** 31, "self", "1/../self", undefined],
      fd: [-1, 0.5, Infinity, "0/../1", null],
      bytes: [0, -1, 0.5, 2 ** 60, "1", undefined],
      nonce: ["", "0".repeat(31), "G".repeat(32), `${segment.address.nonce}\n`, undefined, 5],
    };
    for (const [field, values] of Object.entries(wrong)) {
      for (const value of values) {
        const refusal = refusalOf({ ...segment.address, [field]: value });
        assert.match(refusal, /^a segment of shared memory can't be opened: the /, `${field} ${value}`);
      }
    }
  },
});

Deno.test({
  name: "other files are no segments: ordinary ones, devices, folders, memory that could shrink",
  ignore,
  async fn() {
    using segment = await createSegment();
    const libc = openC(), c = libc.symbols;
    const file = await Deno.makeTempFile();
    await Deno.truncate(file, 6 * 65_536);
    const fds = [file, "/dev/null", "/dev"].map((path) => c.open(cString(path), 0));
    const unsealed = c.memfd_create(cString("flashmob"), 0), foreign = c.memfd_create(cString("else"), 2);
    c.ftruncate(unsealed, BigInt(6 * 65_536));
    try {
      for (const fd of [...fds, foreign]) {
        assert.ok(fd > 0);
        assert.match(refusalOf({ ...segment.address, fd }), /it is no shared memory of flashmob's$/);
      }
      assert.match(refusalOf({ ...segment.address, fd: unsealed }), /its size is not sealed$/);
    } finally {
      [...fds, unsealed, foreign].forEach((fd) => c.close(fd));
      await Deno.remove(file);
      libc.close();
    }
  },
});

Deno.test({
  name: "another user's segment is refused, by root too",
  ignore: ignore || Deno.uid() !== 0,
  async fn() {
    using segment = await createSegment();
    const libc = openC();
    assert.equal(libc.symbols.fchown(segment.address.fd, 65_534, -1), 0);
    libc.close();
    assert.match(refusalOf(segment.address), /it belongs to user 65534, and this process is user 0's$/);
  },
});

Deno.test({
  name: "memory that can't be had is a refusal, and a size that is none an error",
  ignore,
  async fn() {
    const refused = await Segment.create(2 ** 50); // more than there are addresses: nothing is taken where the system promises all
    assert.ok("refused" in refused);
    assert.match(refused.refused, /^1125899906842624 bytes of shared memory can't be had: /);
    assert.deepEqual(descriptors(), []);
    assert.deepEqual(mappings(), []);
    for (const bytes of [0, -1, 0.5, NaN]) await assert.rejects(Segment.create(bytes), RangeError);
  },
});

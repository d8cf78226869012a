/** Segments between processes, killed and frozen ones too. @module */

import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { ForeignSegment } from "../../../src/dist/memory/foreign_segment.ts";
import type { SegmentAddress } from "../../../src/dist/memory/header.ts";
import { Segment } from "../../../src/dist/memory/segment.ts";
import { breathe } from "../../../src/slow_work.ts";
import { canUnshare, UNSHARE } from "../support/pid_namespace.ts";
import { SegmentOwner } from "../support/segment_owner.ts";

const ignore = Deno.build.os !== "linux";
/** Two buffers. */
const COUNT = 100_000, BYTES = 8 * COUNT;

function openSegment(address: SegmentAddress): ForeignSegment {
  const segment = ForeignSegment.open(address);
  if ("refused" in segment) throw new Error(segment.refused);
  return segment;
}

/** The values of the first buffer, copied. */
function valuesIn(segment: ForeignSegment): Float32Array {
  const values = new Float32Array(COUNT);
  values.set(segment.floats.subarray(0, COUNT));
  return values;
}

const areAll = (values: Float32Array, wanted: number) => values.every((value) => value === wanted);

Deno.test({
  name: "what one process writes another reads, and stamps tell it when",
  ignore,
  async fn() {
    const { owner, address } = await SegmentOwner.start(BYTES);
    await using _owner = owner;
    using segment = openSegment(address);
    assert.notEqual(address.pid, Deno.pid);
    assert.ok(areAll(valuesIn(segment), 0));
    const stamp = await owner.call("renew", 0);
    await owner.call("fill", 1.5, 0, COUNT);
    assert.ok(segment.holds(0, stamp));
    assert.ok(areAll(valuesIn(segment), 1.5));
    assert.ok(segment.holds(0, stamp));
    await owner.call("close");
    assert.ok(areAll(valuesIn(segment), 1.5), "stays mapped");
    assert.ok("refused" in ForeignSegment.open(address), "can't be opened any more");
  },
});

Deno.test({
  name: "an owner that is killed leaves its memory to those who have it mapped, and nothing else",
  ignore,
  async fn() {
    const { owner, address } = await SegmentOwner.start(BYTES);
    await using _owner = owner;
    using segment = openSegment(address);
    await owner.call("fill", 2, 0, COUNT);
    await owner.kill();
    assert.ok(areAll(valuesIn(segment), 2));
    const refused = ForeignSegment.open(address);
    assert.ok("refused" in refused);
    assert.match(refused.refused, /: No such file or directory$/);
    const shared = await new Deno.Command("ls", { args: ["/dev/shm"] }).output();
    assert.doesNotMatch(new TextDecoder().decode(shared.stdout), /flashmob/);
  },
});

Deno.test({
  name: "an owner that is killed while it writes leaves what was there before invalid",
  ignore,
  async fn() {
    const { owner, address } = await SegmentOwner.start(BYTES);
    await using _owner = owner;
    using segment = openSegment(address);
    const stamp = await owner.call("renew", 0);
    await owner.tell("renew", 0);
    await owner.tell("fill", 2, 0, COUNT / 2);
    await owner.answer();
    await owner.kill();
    assert.ok(!segment.holds(0, stamp));
  },
});

Deno.test({
  name: "a frozen owner that wakes up and writes while its part is read is noticed",
  ignore,
  async fn() {
    const { owner, address } = await SegmentOwner.start(BYTES);
    await using _owner = owner;
    using segment = openSegment(address);
    const stamp = await owner.call("renew", 0);
    await owner.call("fill", 1, 0, COUNT);
    owner.process.kill("SIGSTOP");
    await owner.tell("renew", 0); // what it does next when it runs again
    await owner.tell("fill", 9, 0, COUNT);
    const half = new Float32Array(COUNT);
    assert.ok(segment.holds(0, stamp), "before");
    half.set(segment.floats.subarray(0, COUNT / 2));
    owner.process.kill("SIGCONT");
    const next = await owner.answer() as number;
    await owner.answer();
    half.set(segment.floats.subarray(COUNT / 2, COUNT), COUNT / 2);
    assert.deepEqual([half[0], half[COUNT - 1]], [1, 9], "what was read is torn");
    assert.ok(!segment.holds(0, stamp), "after");
    assert.ok(segment.holds(0, next));
  },
});

Deno.test({
  name: "what is read between two looks at a stamp that holds is never torn, however fast it is written",
  ignore,
  async fn() {
    const { owner, address } = await SegmentOwner.start(BYTES);
    await using _owner = owner;
    using segment = openSegment(address);
    const rounds = 500;
    let round = 0, hasEnded = false;
    await owner.tell("storm", rounds, COUNT);
    const end = owner.answer().finally(() => hasEnded = true);
    while (round < rounds) {
      const last: boolean = hasEnded;
      const now = numberFrom(round, rounds, (number) => segment.holds(1, number));
      if (now) {
        const values = valuesIn(segment);
        if (segment.holds(0, now)) assert.ok(areAll(values, now), `round ${now} is torn`);
        round = now;
      }
      assert.ok(now || !last, "the last round holds");
      await breathe();
    }
    await end;
  },
});

/** The first number from `first` to `last` that fits, or 0. */
function numberFrom(first: number, last: number, fits: (number: number) => boolean): number {
  for (let number = first; number <= last; number++) if (fits(number)) return number;
  return 0;
}

/** Runs a process, with a command before it, that opens the segment and creates one; returns what it says. */
async function sharingIn(
  command: readonly string[],
  permission: string,
  address: SegmentAddress,
): Promise<unknown> {
  const script = fileURLToPath(new URL("../support/segment_reader.ts", import.meta.url));
  const [first, ...rest] = [...command, Deno.execPath(), "run", "--quiet", "--no-config", permission];
  const process = new Deno.Command(first, {
    args: [...rest, script, JSON.stringify(address)],
    stdin: "null",
    stderr: "inherit",
  });
  const { stdout } = await process.output();
  return JSON.parse(new TextDecoder().decode(stdout));
}

Deno.test({
  name: "a process in a PID namespace of its own can't open a segment and is told why" +
    (ignore || canUnshare() ? "" : " (skipped: this machine doesn't let users make one)"),
  ignore: ignore || !canUnshare(),
  async fn() {
    const segment = await Segment.create(BYTES);
    if ("refused" in segment) throw new Error(segment.refused);
    using _segment = segment;
    segment.floats[0] = 4;
    const { address } = segment;
    assert.deepEqual(await sharingIn([], "--allow-ffi", address), { opened: 4, created: 0 });
    const { pid, fd } = address;
    assert.deepEqual(await sharingIn(UNSHARE, "--allow-ffi", address), {
      opened: `shared memory ${fd} of process ${pid} can't be opened: No such file or directory`,
      created: 0,
    });
  },
});

Deno.test({
  name: "without permission to call the C library there is no segment, and no exception",
  ignore,
  async fn() {
    const address = { pid: 1, fd: 3, bytes: 8, nonce: "0".repeat(32) };
    const reason = "the C library can't be called: Requires ffi access";
    const { opened, created } = await sharingIn([], "--deny-ffi", address) as Record<string, string>;
    assert.deepEqual([opened, created].map((text) => text.slice(0, reason.length)), [reason, reason]);
  },
});

Deno.test({
  name: "where files may not be as large there is no segment, and no process is killed",
  ignore,
  async fn() {
    const address = { pid: 1, fd: 3, bytes: 8, nonce: "0".repeat(32) };
    const limited = ["bash", "-c", `trap "" XFSZ; ulimit -f 8; exec "$@"`, "bash"]; // the signal is for Deno's own files
    const { created } = await sharingIn(limited, "--allow-ffi", address) as Record<string, string>;
    assert.equal(
      created,
      "8 bytes of shared memory can't be had: a file may have at most 8192 bytes here (ulimit -f)",
    );
  },
});

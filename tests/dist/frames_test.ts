/** @module */

import assert from "node:assert/strict";
import {
  CODECS,
  decodeFrame,
  encodeFrame,
  floatBytes,
  floatsOf,
  type Frame,
  type Kind,
  KINDS,
  PROTOCOL_VERSION,
} from "../../src/dist/frames.ts";
import { decodeMessage, encodeControl } from "../../src/dist/messages.ts";
import { randomStream } from "../../src/prng.ts";
import { noise } from "./toy.ts";

/** A frame with every field at random. */
function randomFrame(seed: number): Frame {
  const { word, uniform } = randomStream(seed, "frames");
  const pick = <T>(values: T[], index: number) => values[word(index) % values.length];
  return {
    kind: pick(Object.keys(KINDS) as Kind[], 0),
    codec: pick(Object.keys(CODECS) as (keyof typeof CODECS)[], 1),
    run: "run_1-A",
    sender: "w".repeat(1 + word(2) % 64),
    term: word(3),
    generation: word(4),
    step: word(5),
    lo: word(6),
    hi: word(7),
    part: word(8),
    parts: word(9),
    tokens: word(10) * 2 ** 20,
    lossSum: pick([uniform(11) * 1e300, -0, 5e-324, NaN, Infinity], 12),
    finite: word(13) % 2 === 0,
    payload: Uint8Array.from({ length: word(14) % 100 }, (_, i) => word(15 + i) & 255),
  };
}

Deno.test("decodeFrame() gives back every field that encodeFrame() wrote, aligned or not", () => {
  for (let seed = 0; seed < 300; seed++) {
    const frame = randomFrame(seed);
    const bytes = encodeFrame(frame);
    const shifted = new Uint8Array(bytes.length + seed % 9).subarray(seed % 9);
    shifted.set(bytes);
    assert.deepEqual(decodeFrame(shifted, "run_1-A"), frame);
  }
});

Deno.test("decodeFrame() notices every single flipped bit", () => {
  const bytes = encodeFrame({ ...randomFrame(4), payload: floatBytes(noise(50, 1)) });
  for (let bit = 0; bit < 8 * bytes.length; bit++) {
    const damaged = bytes.slice();
    damaged[bit >> 3] ^= 1 << (bit & 7);
    assert.ok("refused" in decodeFrame(damaged, "run_1-A"), `bit ${bit}`);
  }
});

Deno.test("decodeFrame() notices truncation at any byte, and bytes too many", () => {
  const bytes = encodeFrame(randomFrame(5));
  for (let length = 0; length < bytes.length; length++) {
    assert.ok("refused" in decodeFrame(bytes.subarray(0, length), "run_1-A"), `${length} bytes`);
  }
  assert.deepEqual(decodeFrame(Uint8Array.from([...bytes, 0]), "run_1-A"), { refused: "damaged" });
});

Deno.test("decodeFrame() tells messages of others from damaged ones", () => {
  const bytes = encodeFrame({ kind: "ack", run: "mine", sender: "worker-0" });
  assert.deepEqual(decodeFrame(bytes, "other"), { refused: "foreign" });
  assert.deepEqual(decodeFrame(new TextEncoder().encode("hello, is anybody there?"), "mine"), {
    refused: "foreign",
  });
});

Deno.test("decodeFrame() names the version of a frame of another protocol version", async () => {
  const { crc32 } = await import("node:zlib");
  const bytes = encodeFrame({ kind: "ack", run: "mine", sender: "worker-0" });
  bytes[8] = PROTOCOL_VERSION + 1;
  new DataView(bytes.buffer).setUint32(4, crc32(bytes.subarray(8)), true);
  assert.deepEqual(decodeFrame(bytes, "mine"), { refused: "version", version: PROTOCOL_VERSION + 1 });
});

Deno.test("encodeFrame() refuses a name that can't be part of a NATS subject", () => {
  for (const run of ["", "a.b", "a b", "é", "*", "a".repeat(65)]) {
    assert.throws(() => encodeFrame({ kind: "ack", run, sender: "worker-0" }), RangeError);
  }
});

Deno.test("numbers of a frame are little-endian and where the table says", () => {
  const bytes = encodeFrame({ kind: "sum", run: "r", sender: "s", step: 0x01020304, part: 7, lossSum: 1 });
  assert.deepEqual([...bytes.subarray(0, 4)], [..."FMOB"].map((letter) => letter.charCodeAt(0)));
  assert.deepEqual([...bytes.subarray(20, 24)], [4, 3, 2, 1]);
  assert.deepEqual([...bytes.subarray(32, 36)], [7, 0, 0, 0]);
  assert.deepEqual([...bytes.subarray(48, 56)], [0, 0, 0, 0, 0, 0, 0xf0, 0x3f]);
});

Deno.test("float32 values survive a frame bit for bit, subnormal and not finite ones too", () => {
  const values = Float32Array.of(1e-45, -1e-40, -0, NaN, Infinity, 3.4e38, 1 / 3);
  const frame = decodeFrame(
    encodeFrame({ kind: "sum", run: "r", sender: "s", payload: floatBytes(values) }),
    "r",
  );
  assert.ok(!("refused" in frame));
  assert.deepEqual(floatBytes(floatsOf(frame.payload)), floatBytes(values));
});

Deno.test("control frames carry numbers that JSON has no word for", () => {
  const losses = [{ microBatch: 0, lossSum: NaN, tokens: 3 }, {
    microBatch: 1,
    lossSum: -Infinity,
    tokens: 0,
  }];
  const bytes = encodeControl({ kind: "evaluated", run: "r", sender: "NaN" }, { losses });
  const frame = decodeMessage(bytes, "r");
  assert.ok("message" in frame);
  assert.deepEqual(frame.message, { losses });
});

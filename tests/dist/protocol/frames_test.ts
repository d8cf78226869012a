/** @module */

import assert from "node:assert/strict";
import { crc32 } from "node:zlib";
import {
  CODECS,
  decodeFrame,
  encodeFrame,
  type Frame,
  type Kind,
  KINDS,
  PROTOCOL_VERSION,
} from "../../../src/dist/protocol/frames.ts";
import { decodeMessage, encodeControl } from "../../../src/dist/protocol/messages.ts";
import { randomStream } from "../../../src/prng.ts";
import { noise } from "../support/toy.ts";
import { floatBytes, floatsOf } from "../../../src/dist/vectors/floats.ts";

/** A frame with every field at random. */
function randomFrame(seed: number): Frame {
  const { word, uniform } = randomStream(seed, "frames");
  const pick = <T>(values: T[], index: number) => values[word(index) % values.length];
  return {
    kind: pick(Object.keys(KINDS) as Kind[], 0),
    codec: pick(Object.keys(CODECS) as (keyof typeof CODECS)[], 1),
    run: "run_1-A",
    sender: "w".repeat(1 + word(2) % 64),
    more: word(31) % 2 ** 16,
    byReference: uniform(30) < 0.5,
    term: word(3),
    generation: word(4),
    step: word(5),
    lo: word(6),
    hi: word(7),
    part: word(8),
    parts: word(9),
    openedIn: word(200),
    leaves: word(201),
    vector: word(202),
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

Deno.test("decodeFrame() notices truncation at any byte, and extra bytes", () => {
  const bytes = encodeFrame(randomFrame(5));
  for (let length = 0; length < bytes.length; length++) {
    assert.ok("refused" in decodeFrame(bytes.subarray(0, length), "run_1-A"), `${length} bytes`);
  }
  assert.deepEqual(decodeFrame(Uint8Array.from([...bytes, 0]), "run_1-A"), { refused: "damaged" });
});

Deno.test("decodeFrame() distinguishes foreign messages from damaged ones", () => {
  const bytes = encodeFrame({ kind: "ack", run: "mine", sender: "worker-0" });
  assert.deepEqual(decodeFrame(bytes, "other"), { refused: "foreign" });
  assert.deepEqual(decodeFrame(new TextEncoder().encode("hello, is anybody there?"), "mine"), {
    refused: "foreign",
  });
});

Deno.test("decodeFrame() names the version of a frame of another protocol version", () => {
  const bytes = encodeFrame({ kind: "ack", run: "mine", sender: "worker-0" });
  bytes[8] = PROTOCOL_VERSION + 1;
  assert.deepEqual(decodeFrame(sealed(bytes), "mine"), { refused: "version", version: PROTOCOL_VERSION + 1 });
});

Deno.test("encodeFrame() rejects a name that can't be part of a NATS subject", () => {
  for (const run of ["", "a.b", "a b", "é", "*", "a".repeat(65)]) {
    assert.throws(() => encodeFrame({ kind: "ack", run, sender: "worker-0" }), RangeError);
  }
});

Deno.test("decodeFrame() never throws, whatever bytes have a right checksum, and accepts valid names only", () => {
  const { word } = randomStream(8, "mutations");
  let at = 0, accepted = 0;
  for (let i = 0; i < 20_000; i++) {
    const genuine = encodeFrame(randomFrame(i % 100));
    const bytes = genuine.slice(0, word(at++) % 4 === 0 ? word(at++) % (genuine.length + 1) : genuine.length);
    for (let changes = word(at++) % 4; changes >= 0 && bytes.length > 8; changes--) {
      const place = changes % 2 === 0 ? 56 + word(at++) % 12 : 8 + word(at++) % (bytes.length - 8);
      bytes[place] = word(at++);
    }
    if (bytes.length >= 8) sealed(bytes);
    const frame = decodeFrame(bytes, "run_1-A");
    if ("refused" in frame) continue;
    accepted++;
    assert.match(frame.sender, /^[A-Za-z0-9_-]{1,64}$/);
    assert.ok(frame.kind in KINDS && frame.codec in CODECS);
  }
  assert.ok(accepted > 1000, `${accepted} were changed where it does not matter`);
});

/** The bytes with their correct checksum. */
function sealed(bytes: Uint8Array): Uint8Array {
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(4, crc32(bytes.subarray(8)), true);
  return bytes;
}

Deno.test("an invalid name is rejected, wherever it comes from", () => {
  const from = (name: string) => {
    const wanted = new TextEncoder().encode(name);
    const bytes = encodeFrame({ kind: "ack", run: "r", sender: "x".repeat(wanted.length) });
    bytes.set(wanted, 73);
    return decodeFrame(sealed(bytes), "r");
  };
  assert.ok("kind" in from("worker-0"));
  const wrong = ["a.b", "a b", "*", ">", "\u001b[2J", "\ufeffx", "a\u0000", "é"];
  for (const name of [...wrong, "constructor", "__proto__", "toString"]) {
    assert.deepEqual(from(name), { refused: "foreign" }, name);
    assert.throws(() => encodeFrame({ kind: "ack", run: "r", sender: name }), RangeError);
  }
  const none = encodeFrame({ kind: "ack", run: "r", sender: "x" }).slice(0, -1);
  none[57] = 0;
  assert.deepEqual(decodeFrame(sealed(none), "r"), { refused: "foreign" });
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

Deno.test("control frames carry numbers that JSON can't represent", () => {
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

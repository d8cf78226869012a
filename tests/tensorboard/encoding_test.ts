import assert from "node:assert/strict";
import { crc32c, maskedCrc32c } from "../../src/tensorboard/crc32c.ts";
import { fileVersion, hyperparameters, scalars, sessionStart, text } from "../../src/tensorboard/events.ts";
import { stringField, varintField } from "../../src/tensorboard/protobuf.ts";

const bytes = (length: number, byteAt: (i: number) => number) =>
  Uint8Array.from({ length }, (_, i) => byteAt(i));
const hex = (data: Iterable<number>) => Uint8Array.from(data).toHex().replaceAll(/(..)(?=.)/g, "$1 ");

Deno.test("CRC-32C of the examples in RFC 3720, appendix B.4", () => {
  assert.equal(crc32c(bytes(32, () => 0)), 0x8a9136aa);
  assert.equal(crc32c(bytes(32, () => 0xff)), 0x62a8ab43);
  assert.equal(crc32c(bytes(32, (i) => i)), 0x46dd794e);
  assert.equal(crc32c(bytes(32, (i) => 31 - i)), 0x113fdb5c);
  const read = "01c00000 00000000 00000000 00000000 14000000 00000400 00000014 00000018" +
    "28000000 00000000 02000000 00000000";
  assert.equal(crc32c(Uint8Array.fromHex(read.replaceAll(" ", ""))), 0xd9963a56);
});

Deno.test("the masked CRC-32C of a length is the one that every file of TensorFlow begins with", () => {
  // 24 bytes: the event with the version. TensorFlow's files begin with 18 00 00 00 00 00 00 00 a3 7f 4b 22.
  assert.equal(maskedCrc32c(bytes(8, (i) => i === 0 ? 24 : 0)), 0x224b7fa3);
  assert.equal(fileVersion(1.5).length, 24);
});

Deno.test("whole numbers take seven bits a byte, up to 2⁵³ − 1", () => {
  assert.equal(hex(varintField(1, 0)), "08 00");
  assert.equal(hex(varintField(2, 300)), "10 ac 02");
  assert.equal(hex(varintField(16, 2 ** 32)), "80 01 80 80 80 80 10");
  assert.equal(hex(varintField(1, Number.MAX_SAFE_INTEGER)), "08 ff ff ff ff ff ff ff 0f");
});

Deno.test("events have the bytes that protobuf gives them", () => {
  const moment = { step: 300, time: 1.5 };
  const time = "09 00 00 00 00 00 00 f8 3f", step = "10 ac 02";
  assert.equal(hex(fileVersion(1.5)), `${time} 1a 0d ${hex(new TextEncoder().encode("brain.Event:2"))}`);
  assert.equal(hex(sessionStart(moment)), `${time} ${step} 3a 02 08 01`);
  assert.equal(
    hex(scalars(moment, { a: 0.5, b: NaN })),
    `${time} ${step} 2a 14 0a 08 0a 01 61 15 00 00 00 3f 0a 08 0a 01 62 15 00 00 c0 7f`,
  );
  const metadata = "4a 0c 0a 08 0a 04 74 65 78 74 12 00 20 02";
  assert.equal(
    hex(text(moment, "t", "é")).replaceAll(" ", ""),
    `${time} ${step} 2a 1d 0a 1b 0a 01 74 42 08 08 07 12 00 42 02 c3 a9 ${metadata}`.replaceAll(" ", ""),
  );
});

Deno.test("hyperparameters are numbers, texts, and true or false", () => {
  const found = hex(hyperparameters(1.5, { n: 2, s: "x", b: true }));
  for (
    const entry of [
      "0a 0e 0a 01 6e 12 09 11 00 00 00 00 00 00 00 40",
      "0a 08 0a 01 73 12 03 1a 01 78",
      "0a 07 0a 01 62 12 02 20 01",
    ]
  ) assert.ok(found.includes(entry), `${entry} in ${found}`);
  assert.ok(found.includes(hex(stringField(1, "_hparams_/session_start_info"))));
});

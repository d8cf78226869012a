import assert from "node:assert/strict";
import {
  encodeSafetensors,
  type FlatTensor,
  parseSafetensors,
  writeSafetensors,
} from "../src/safetensors.ts";
import { readSafetensors } from "../src/checkpoint/tensor_files.ts";
import { tf } from "../src/tensorflow/mod.ts";

/** A file as one array. */
function joined(pieces: Iterable<Uint8Array>): Uint8Array<ArrayBuffer> {
  return Uint8Array.from([...pieces].flatMap((piece) => [...piece]));
}

/** A file with a header of one's own and some bytes of values. */
function fileOf(header: unknown, valueBytes = 0, headerLength?: number): Uint8Array<ArrayBuffer> {
  const json = new TextEncoder().encode(typeof header === "string" ? header : JSON.stringify(header));
  const bytes = new Uint8Array(8 + json.length + valueBytes);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(headerLength ?? json.length), true);
  bytes.set(json, 8);
  return bytes;
}

const TENSORS: Record<string, FlatTensor> = {
  mask: { dtype: "BOOL", shape: [3], values: Uint8Array.of(1, 0, 1) },
  weight: { dtype: "F32", shape: [2, 2], values: Float32Array.of(1, -2, 3.5, 1e-40) },
  step: { dtype: "I64", shape: [], values: BigInt64Array.of(7n) },
  empty: { dtype: "F32", shape: [0, 5], values: new Float32Array(0) },
};

Deno.test("parseSafetensors() reads what encodeSafetensors() writes, bit for bit", () => {
  const { tensors, metadata } = parseSafetensors(joined(encodeSafetensors(TENSORS, { a: "b" })));
  assert.deepEqual(metadata, { a: "b" });
  assert.deepEqual(
    Object.fromEntries(Object.entries(tensors).toSorted()),
    Object.fromEntries(Object.entries(TENSORS).toSorted()),
  );
});

Deno.test("encodeSafetensors() aligns the values and copies none of them", () => {
  const [header, ...values] = [...encodeSafetensors(TENSORS)];
  assert.equal(header.length % 8, 0);
  assert.deepEqual(values.map(({ length }) => length), [8, 16, 0, 3]);
  assert.equal(values[1].buffer, TENSORS.weight.values.buffer);
});

Deno.test("encodeSafetensors() refuses values that don't fill the shape", () => {
  const wrong: FlatTensor = { dtype: "F32", shape: [2, 2], values: new Float32Array(3) };
  assert.throws(
    () => [...encodeSafetensors({ wrong })],
    /RangeError: Can't write "wrong": the shape \[2, 2\] holds 4/,
  );
});

Deno.test("parseSafetensors() reads values that are not aligned", () => {
  const header = {
    a: { dtype: "U8", shape: [1], data_offsets: [0, 1] },
    b: { dtype: "F32", shape: [1], data_offsets: [1, 5] },
  };
  const file = fileOf(header, 5);
  file.set(new Uint8Array(Float32Array.of(2.5).buffer), file.length - 4);
  assert.equal(parseSafetensors(file).tensors.b.values[0], 2.5);
});

const entry = (dtype: string, shape: unknown, begin: number, end: number) => ({
  dtype,
  shape,
  data_offsets: [begin, end],
});

const DAMAGED: [what: string, bytes: Uint8Array<ArrayBuffer>, message: RegExp][] = [
  ["an empty file", new Uint8Array(0), /0 bytes are too few/],
  ["a text file", new TextEncoder().encode("This is no model at all."), /is it a safetensors file\?/],
  [
    "a header longer than the file",
    fileOf({}, 0, 50),
    /claims 50 bytes, but only 2 follow; the file is cut short/,
  ],
  ["a header that is no JSON", fileOf('{"a": '), /its header is no JSON/],
  ["a header that is no object", fileOf([1, 2]), /no JSON object/],
  ["metadata that are no texts", fileOf({ __metadata__: { a: 1 } }), /metadata "a" is no text/],
  ["an unknown dtype", fileOf({ a: entry("F31", [1], 0, 4) }, 4), /"a" has the unknown dtype "F31"/],
  ["a dtype like toString", fileOf({ a: entry("toString", [1], 0, 4) }, 4), /unknown dtype/],
  ["a shape that is no list", fileOf({ a: entry("F32", "x", 0, 4) }, 4), /shape of "a" is "x"/],
  ["a negative dimension", fileOf({ a: entry("F32", [-1, -1], 0, 4) }, 4), /shape of "a" is \[-1,-1\]/],
  ["a place of the wrong size", fileOf({ a: entry("F32", [2], 0, 4) }, 4), /needs 8 bytes.*holds 4/],
  [
    "overlapping places",
    fileOf({ a: entry("F32", [2], 0, 8), b: entry("F32", [2], 4, 12) }, 12),
    /"b" begins at byte 4 of the values, where the one before it ends at 8/,
  ],
  [
    "a gap between places",
    fileOf({ a: entry("F32", [1], 0, 4), b: entry("F32", [1], 8, 12) }, 12),
    /"b" begins/,
  ],
  [
    "values that are cut short",
    fileOf({ a: entry("F32", [2], 0, 8) }, 7),
    /take 8 bytes, but only 7 are there/,
  ],
  [
    "bytes that belong to no tensor",
    fileOf({ a: entry("F32", [2], 0, 8) }, 9),
    /take 8 bytes, but 9 are there/,
  ],
];

for (const [what, bytes, message] of DAMAGED) {
  Deno.test(`parseSafetensors() refuses ${what} with a SyntaxError that names the file`, () => {
    assert.throws(() => parseSafetensors(bytes, "m.safetensors"), (error: unknown) => {
      assert(error instanceof SyntaxError);
      assert.match(error.message, /^Can't read m\.safetensors: /);
      assert.match(error.message, message);
      return true;
    });
  });
}

Deno.test("a file cut at any byte is refused", () => {
  const whole = joined(encodeSafetensors(TENSORS));
  for (let length = 0; length < whole.length; length++) {
    assert.throws(() => parseSafetensors(whole.slice(0, length)), SyntaxError, `cut at ${length}`);
  }
});

/** Runs with a path of a file that is gone afterwards. */
async function withFile(run: (path: string) => Promise<void>): Promise<void> {
  const path = await Deno.makeTempFile({ suffix: ".safetensors" });
  try {
    await run(path);
  } finally {
    await Deno.remove(path);
  }
}

Deno.test("readSafetensors() gives float32, int32 and bool tensors for all kinds of numbers", async () => {
  await tf.setBackend("cpu");
  await withFile(async (path) => {
    await writeSafetensors(path, {
      ...TENSORS,
      half: { dtype: "F16", shape: [2], values: Float16Array.of(0.5, -2) },
      brain: { dtype: "BF16", shape: [2], values: Uint16Array.of(0x3f80, 0xc000) },
      double: { dtype: "F64", shape: [1], values: Float64Array.of(0.1) },
      small: { dtype: "I8", shape: [1], values: Int8Array.of(-3) },
    }, { kind: "test" });
    const { tensors, metadata } = await readSafetensors(path);
    const read = Object.fromEntries(
      Object.entries(tensors).map((
        [name, tensor],
      ) => [name, [tensor.dtype, tensor.shape, tensor.arraySync()]]),
    );
    assert.deepEqual(metadata, { kind: "test" });
    assert.deepEqual(read, {
      mask: ["bool", [3], [1, 0, 1]],
      weight: ["float32", [2, 2], [[1, -2], [3.5, Math.fround(1e-40)]]],
      step: ["int32", [], 7],
      empty: ["float32", [0, 5], []],
      half: ["float32", [2], [0.5, -2]],
      brain: ["float32", [2], [1, -2]],
      double: ["float32", [1], [Math.fround(0.1)]],
      small: ["int32", [1], [-3]],
    });
    tf.dispose(tensors);
  });
});

Deno.test("readSafetensors() refuses a whole number that doesn't fit into 32 bits", async () => {
  await withFile(async (path) => {
    await writeSafetensors(path, {
      big: { dtype: "I64", shape: [2], values: BigInt64Array.of(1n, 2n ** 40n) },
    });
    await assert.rejects(readSafetensors(path), /RangeError: Can't read "big" .* value 1 is 1099511627776/);
  });
});

/**
 * safetensors files: eight bytes with the header's length, a JSON header that says where each tensor lies, then the values,
 * little-endian. This file works on typed arrays and knows no tensors, so that a launcher can read and write checkpoints without
 * TensorFlow; `readSafetensors` in src/checkpoint/tensor_files.ts hands tensors out.
 *
 * @module
 */

import { isRecord } from "./records.ts";

/** The kinds of values that this module reads and writes, and which typed array holds each. */
export const DTYPES = {
  F64: Float64Array,
  I64: BigInt64Array,
  U64: BigUint64Array,
  F32: Float32Array,
  I32: Int32Array,
  U32: Uint32Array,
  F16: Float16Array,
  BF16: Uint16Array, // the upper half of a float32
  I16: Int16Array,
  U16: Uint16Array,
  I8: Int8Array,
  U8: Uint8Array,
  BOOL: Uint8Array,
} as const;

/** A kind of value, by the format's own name. */
export type Dtype = keyof typeof DTYPES;

/** The typed arrays that hold values: BF16 is held as the 16 bits it has, BOOL as bytes 0 and 1. */
export type FlatValues =
  | Float64Array
  | BigInt64Array
  | BigUint64Array
  | Float32Array
  | Int32Array
  | Uint32Array
  | Float16Array
  | Uint16Array
  | Int16Array
  | Int8Array
  | Uint8Array;

/** One tensor as the file has it. */
export interface FlatTensor {
  /** What kind of values they are. */
  readonly dtype: Dtype;
  /** Its dimensions; none for a scalar. */
  readonly shape: readonly number[];
  /** Its values, the last dimension running fastest. */
  readonly values: FlatValues;
}

/** Everything in a file, in the order of the header. */
export interface FlatTensors {
  /** The tensors by name. */
  readonly tensors: Record<string, FlatTensor>;
  /** Free texts that the writer put in, by key. */
  readonly metadata: Record<string, string>;
}

/** The longest header that is believed: the format's own limit. */
const MAX_HEADER = 100_000_000;

const sizeOf = (shape: readonly number[]) => shape.reduce((product, dimension) => product * dimension, 1);

/**
 * Reads the bytes of a safetensors file. The values are views of `bytes` where their alignment allows it, copies elsewhere.
 *
 * @param bytes the whole file
 * @param where the file's name for error messages
 * @throws {SyntaxError} when the bytes are not a whole safetensors file
 *
 * @example
 * ```ts
 * import { encodeSafetensors, parseSafetensors } from "./safetensors.ts";
 * const file = [...encodeSafetensors({ x: { dtype: "F32", shape: [2], values: new Float32Array([1, 2]) } })];
 * const { tensors } = parseSafetensors(new Uint8Array(await new Blob(file).arrayBuffer()));
 * console.assert(tensors.x.values[1] === 2);
 * ```
 */
export function parseSafetensors(bytes: Uint8Array<ArrayBuffer>, where = "safetensors data"): FlatTensors {
  const fail = (problem: string): never => {
    throw new SyntaxError(`Can't read ${where}: ${problem}.`);
  };
  if (bytes.length < 8) {
    fail(`${bytes.length} bytes are too few for a safetensors file, which begins with 8 bytes of length`);
  }
  const headerLength = Number(new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true));
  if (headerLength > MAX_HEADER) {
    fail(
      `its header claims ${headerLength} bytes, at most ${MAX_HEADER} are allowed; is it a safetensors file?`,
    );
  }
  if (8 + headerLength > bytes.length) {
    fail(
      `its header claims ${headerLength} bytes, but only ${bytes.length - 8} follow; the file is cut short`,
    );
  }
  const data = bytes.subarray(8 + headerLength);
  const { metadata, entries } = parseHeader(bytes.subarray(8, 8 + headerLength), fail);
  checkPlaces(entries, data.length, fail);
  const tensors: Record<string, FlatTensor> = {};
  for (const { name, dtype, shape, begin, end } of entries) {
    tensors[name] = { dtype, shape, values: viewOf(dtype, data.subarray(begin, end)) };
  }
  return { tensors, metadata };
}

/** One tensor's line of the header; `begin` and `end` count from the end of the header. */
interface HeaderEntry {
  name: string;
  dtype: Dtype;
  shape: number[];
  begin: number;
  end: number;
}

type Fail = (problem: string) => never;

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

function parseHeader(
  header: Uint8Array,
  fail: Fail,
): { metadata: Record<string, string>; entries: HeaderEntry[] } {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(header));
  } catch (error) {
    fail(`its header is no JSON (${(error as Error).message})`);
  }
  if (!isRecord(json)) return fail("its header is no JSON object");
  const { __metadata__ = {}, ...lines } = json;
  if (!isRecord(__metadata__)) return fail("its __metadata__ is no JSON object");
  const metadata: Record<string, string> = {};
  for (const [key, value] of Object.entries(__metadata__)) {
    if (typeof value !== "string") fail(`its metadata "${key}" is no text`);
    metadata[key] = value as string;
  }
  return { metadata, entries: Object.entries(lines).map(([name, line]) => parseEntry(name, line, fail)) };
}

function parseEntry(name: string, line: unknown, fail: Fail): HeaderEntry {
  if (!isRecord(line)) return fail(`the header's entry for "${name}" is no JSON object`);
  const { dtype, shape, data_offsets: offsets } = line;
  if (typeof dtype !== "string" || !Object.hasOwn(DTYPES, dtype)) {
    fail(
      `"${name}" has the unknown dtype ${JSON.stringify(dtype)}; known are ${Object.keys(DTYPES).join(", ")}`,
    );
  }
  if (!Array.isArray(shape) || !shape.every(isCount)) {
    return fail(`the shape of "${name}" is ${JSON.stringify(shape)}, not a list of whole numbers`);
  }
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount)) {
    return fail(`the data_offsets of "${name}" are ${JSON.stringify(offsets)}, not [begin, end]`);
  }
  const [begin, end] = offsets;
  const wanted = sizeOf(shape) * DTYPES[dtype as Dtype].BYTES_PER_ELEMENT;
  if (end - begin !== wanted) {
    fail(
      `"${name}", ${dtype} [${shape.join(", ")}], needs ${wanted} bytes, but its place holds ${end - begin}`,
    );
  }
  return { name, dtype: dtype as Dtype, shape, begin, end };
}

/** The format allows neither gaps nor overlaps nor bytes that belong to no tensor. */
function checkPlaces(entries: readonly HeaderEntry[], length: number, fail: Fail): void {
  let at = 0;
  for (const { name, begin, end } of entries.toSorted((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (begin !== at) {
      fail(`"${name}" begins at byte ${begin} of the values, where the one before it ends at ${at}`);
    }
    at = end;
  }
  if (at > length) fail(`its tensors take ${at} bytes, but only ${length} are there; the file is cut short`);
  if (at < length) fail(`its tensors take ${at} bytes, but ${length} are there`);
}

function viewOf(dtype: Dtype, bytes: Uint8Array<ArrayBuffer>): FlatValues {
  const Values = DTYPES[dtype];
  const aligned = bytes.byteOffset % Values.BYTES_PER_ELEMENT === 0 ? bytes : bytes.slice();
  return new Values(aligned.buffer, aligned.byteOffset, aligned.byteLength / Values.BYTES_PER_ELEMENT);
}

/**
 * A safetensors file in pieces: the header, then each tensor's own bytes, not copied. Wider values come first, as the
 * format's own library does, so that all are aligned.
 *
 * @throws {RangeError} when a tensor's values don't fill its shape
 *
 * @example
 * ```ts
 * import { encodeSafetensors } from "./safetensors.ts";
 * const pieces = encodeSafetensors({ step: { dtype: "I32", shape: [], values: new Int32Array([7]) } }, { run: "a" });
 * for (const piece of pieces) console.assert(piece.byteLength > 0);
 * ```
 */
export function* encodeSafetensors(
  tensors: Readonly<Record<string, FlatTensor>>,
  metadata: Readonly<Record<string, string>> = {},
): Generator<Uint8Array<ArrayBuffer>> {
  const header: Record<string, unknown> = Object.keys(metadata).length > 0 ? { __metadata__: metadata } : {};
  const ordered = Object.entries(tensors).toSorted(([, a], [, b]) =>
    b.values.BYTES_PER_ELEMENT - a.values.BYTES_PER_ELEMENT
  );
  let at = 0;
  for (const [name, { dtype, shape, values }] of ordered) {
    if (values.length !== sizeOf(shape)) {
      throw new RangeError(
        `Can't write "${name}": the shape [${shape.join(", ")}] holds ${sizeOf(shape)} values, ` +
          `there are ${values.length}.`,
      );
    }
    header[name] = { dtype, shape, data_offsets: [at, at + values.byteLength] };
    at += values.byteLength;
  }
  yield encodeHeader(header);
  for (const [, { values }] of ordered) {
    yield new Uint8Array(values.buffer as ArrayBuffer, values.byteOffset, values.byteLength);
  }
}

/** Length and JSON, filled up with spaces to a multiple of eight bytes. */
function encodeHeader(header: Record<string, unknown>): Uint8Array<ArrayBuffer> {
  const json = new TextEncoder().encode(JSON.stringify(header));
  const length = Math.ceil(json.length / 8) * 8;
  const bytes = new Uint8Array(8 + length).fill(0x20);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(length), true);
  bytes.set(json, 8);
  return bytes;
}

/**
 * Writes a safetensors file and waits until it is on the disk. Values go from their arrays to the file without a copy.
 *
 * @example
 * ```ts
 * import { writeSafetensors } from "./safetensors.ts";
 * const path = await Deno.makeTempFile();
 * await writeSafetensors(path, { x: { dtype: "F32", shape: [2], values: new Float32Array([1, 2]) } });
 * await Deno.remove(path);
 * ```
 */
export async function writeSafetensors(
  path: string,
  tensors: Readonly<Record<string, FlatTensor>>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  using file = await Deno.open(path, { write: true, create: true, truncate: true });
  for (const piece of encodeSafetensors(tensors, metadata)) {
    for (let written = 0; written < piece.length;) written += await file.write(piece.subarray(written));
  }
  await file.syncData();
}

/** Values of a floating point tensor as float32, the same array where it holds float32 already. */
export function toFloat32(dtype: Dtype, values: FlatValues): Float32Array {
  if (values instanceof Float32Array) return values;
  if (dtype !== "BF16") return Float32Array.from(values as ArrayLike<number>);
  return new Float32Array(Uint32Array.from(values as Uint16Array, (bits) => bits << 16).buffer);
}

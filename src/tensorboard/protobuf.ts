/**
 * Fields of protobuf messages, encoded: a message is the bytes of its fields, one after the other.
 *
 * @module
 */

/** How the value of a field is written. */
const WIRE = { varint: 0, fixed64: 1, delimited: 2, fixed32: 5 };

/** Bytes one after the other: a message of fields, for one. */
export function concat(...parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** A field of type int32, int64, bool or an enum: a whole number from 0 to 2⁵³ − 1. */
export function varintField(field: number, value: number): Uint8Array {
  return Uint8Array.from([...key(field, WIRE.varint), ...varint(value)]);
}

/** A field of type float. */
export function floatField(field: number, value: number): Uint8Array {
  return fixed(key(field, WIRE.fixed32), 4, (view, at) => view.setFloat32(at, value, true));
}

/** A field of type double. */
export function doubleField(field: number, value: number): Uint8Array {
  return fixed(key(field, WIRE.fixed64), 8, (view, at) => view.setFloat64(at, value, true));
}

/** A field of type bytes, or with a message in it. */
export function bytesField(field: number, value: Uint8Array): Uint8Array {
  return concat(Uint8Array.from([...key(field, WIRE.delimited), ...varint(value.length)]), value);
}

/** A field of type string. */
export function stringField(field: number, value: string): Uint8Array {
  return bytesField(field, new TextEncoder().encode(value));
}

function key(field: number, wire: number): number[] {
  return varint(field * 8 + wire);
}

/** Seven bits in a byte, the lowest first; all bytes but the last have the highest bit. */
function varint(value: number): number[] {
  const bytes: number[] = [];
  for (; value >= 128; value = Math.floor(value / 128)) bytes.push(value % 128 + 128);
  return [...bytes, value];
}

function fixed(key: number[], size: number, set: (view: DataView, at: number) => void): Uint8Array {
  const bytes = new Uint8Array(key.length + size);
  bytes.set(key);
  set(new DataView(bytes.buffer), key.length);
  return bytes;
}

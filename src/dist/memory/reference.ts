/**
 * Where a piece of a segment lies: what is sent in place of its bytes.
 *
 * @module
 */

import { addressProblem, type SegmentAddress } from "./header.ts";

/** A piece of a buffer's content. Comes over the network: nothing in it is believed. */
export interface Reference {
  /** The segment. */
  readonly address: SegmentAddress;
  /** Buffer of the segment, 0 or 1. */
  readonly buffer: number;
  /** Stamp of the buffer while it holds the piece. */
  readonly stamp: number;
  /** Where the piece begins in the segment's contents, in bytes; a multiple of 4. */
  readonly offset: number;
  /** Its length in bytes. */
  readonly length: number;
}

/** Bytes of a {@linkcode Reference} in a message: u32 process, descriptor, buffer and stamp, f64 size, offset and length, the nonce. */
export const REFERENCE_BYTES = 4 * 4 + 3 * 8 + 16;
const SIZE = 16, OFFSET = 24, LENGTH = 32, NONCE = 40;

/** Writes a reference, little-endian. */
export function encodeReference({ address, buffer, stamp, offset, length }: Reference): Uint8Array {
  const bytes = new Uint8Array(REFERENCE_BYTES), view = new DataView(bytes.buffer);
  [address.pid, address.fd, buffer, stamp].forEach((word, i) => view.setUint32(4 * i, word, true));
  view.setFloat64(SIZE, address.bytes, true);
  view.setFloat64(OFFSET, offset, true);
  view.setFloat64(LENGTH, length, true);
  bytes.set(Uint8Array.fromHex(address.nonce), NONCE);
  return bytes;
}

/** Reads a reference; undefined where these bytes are none, or it leads out of its segment. */
export function decodeReference(bytes: Uint8Array): Reference | undefined {
  if (bytes.length !== REFERENCE_BYTES) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const [pid, fd, buffer, stamp] = [0, 1, 2, 3].map((i) => view.getUint32(4 * i, true));
  const address = { pid, fd, bytes: view.getFloat64(SIZE, true), nonce: bytes.subarray(NONCE).toHex() };
  const offset = view.getFloat64(OFFSET, true), length = view.getFloat64(LENGTH, true);
  const isWithin = [offset, length].every((value) => Number.isSafeInteger(value) && value >= 0) &&
    offset + length <= address.bytes;
  if (addressProblem(address) || buffer > 1 || stamp === 0 || offset % 4 !== 0 || !isWithin) return undefined;
  return { address, buffer, stamp, offset, length };
}

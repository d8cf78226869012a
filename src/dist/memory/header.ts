/**
 * What a segment's two sides agree on: its address, and its first bytes.
 *
 * | bytes | what |
 * | --- | --- |
 * | 0–7 | `flashmob`, in ASCII |
 * | 8–23 | the nonce, random |
 * | 64–127, 128–191 | the stamps of two buffers, a line of the processor's cache each (stamps.ts) |
 * | 65,536– | the contents |
 *
 * @module
 */

/** Where a segment is to be found. Comes over the network: nothing in it is believed. */
export interface SegmentAddress {
  /** Process that holds it open, as that process calls itself. */
  readonly pid: number;
  /** Its file descriptor there. */
  readonly fd: number;
  /** Bytes of contents. */
  readonly bytes: number;
  /** 32 hexadecimal digits that stand in the segment, too: another process may have the same number elsewhere. */
  readonly nonce: string;
}

/**
 * Bytes before the contents. Contents begin and end at a multiple of this, which is one of the page size on every Linux and
 * the page size of WebAssembly.
 */
export const GRAIN = 64 * 1024;
/** How the memory is called in `/proc/PID/maps` and where `/proc/PID/fd/FD` leads. */
export const NAME = "flashmob";

const MAGIC = "flashmob";
const NONCE = MAGIC.length, NONCE_BYTES = 16;
const STAMPS = 64, STAMP_WORDS = 2 * 16;

/** Bytes of a whole segment. */
export function sizeFor(bytes: number): number {
  return GRAIN + inGrains(bytes);
}

/** Rounds up, so that what comes next begins where a page can. */
export function inGrains(bytes: number): number {
  return Math.ceil(bytes / GRAIN) * GRAIN;
}

/** What is wrong with an address, if anything is. */
export function addressProblem({ pid, fd, bytes, nonce }: SegmentAddress): string | undefined {
  if (!isNumber(pid, 1, 2 ** 22)) return "the number of the process is none that Linux gives";
  if (!isNumber(fd, 0, 2 ** 31 - 1)) return "the file descriptor is none";
  if (!isSize(bytes)) return "the size is none that memory can have";
  if (!/^[0-9a-f]{32}$/.test(nonce)) return "the nonce is not 32 hexadecimal digits";
}

/** Whether contents can have so many bytes. */
export function isSize(bytes: number): boolean {
  return isNumber(bytes, 1, 2 ** 50);
}

function isNumber(value: unknown, least: number, most: number): boolean {
  return Number.isSafeInteger(value) && value as number >= least && value as number <= most;
}

/** Writes the beginning of a segment; returns the nonce. */
export function writeHeader(buffer: ArrayBuffer): string {
  const bytes = new Uint8Array(buffer, 0, NONCE + NONCE_BYTES);
  bytes.set(new TextEncoder().encode(MAGIC));
  crypto.getRandomValues(bytes.subarray(NONCE));
  return bytes.subarray(NONCE).toHex();
}

/** Whether a segment begins as it must. */
export function hasNonce(buffer: ArrayBuffer, nonce: string): boolean {
  const bytes = new Uint8Array(buffer, 0, NONCE + NONCE_BYTES);
  const magic = new TextDecoder().decode(bytes.slice(0, NONCE));
  return magic === MAGIC && bytes.subarray(NONCE).toHex() === nonce;
}

/** The words in which the buffers' stamps stand. */
export function stampsIn(buffer: ArrayBuffer): Uint32Array<ArrayBuffer> {
  return new Uint32Array(buffer, STAMPS, STAMP_WORDS);
}

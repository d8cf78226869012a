/**
 * The frames of a zstd file (RFC 8878, 3.1). The runtime decompresses one frame, ignores what follows, and accepts a truncated
 * frame; so the frames are located, and checked for completeness, here.
 *
 * @module
 */

const MAGIC = 0xfd2fb528;
/** A skippable frame's magic number, without its lowest four bits: metadata, not content. */
const SKIPPABLE = 0x184d2a5;
/** Bytes of the dictionary ID and of the content size, by the frame header's flags for them. */
const DICTIONARY_BYTES = [0, 1, 2, 4], SIZE_BYTES = [0, 2, 4, 8];
const RLE = 1, RESERVED = 3;

/**
 * The frames with content, each to be decompressed by itself.
 *
 * @throws {SyntaxError} where something else follows a frame, or the last one is cut short
 */
export function* zstdFrames(bytes: Uint8Array): Generator<Uint8Array> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let start = 0; start < bytes.length;) {
    const { end, isSkippable } = frameAt(view, start);
    if (!isSkippable) yield bytes.subarray(start, end);
    start = end;
  }
}

function frameAt(view: DataView, start: number): { end: number; isSkippable: boolean } {
  try {
    const isSkippable = view.getUint32(start, true) >>> 4 === SKIPPABLE;
    const end = isSkippable ? start + 8 + view.getUint32(start + 4, true) : frameEnd(view, start);
    if (end <= view.byteLength) return { end, isSkippable };
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // a DataView throws it beyond its end
  }
  throw new SyntaxError("it is cut short");
}

/** Where the frame at `start` ends, which may be behind the end of the file. */
function frameEnd(view: DataView, start: number): number {
  if (view.getUint32(start, true) !== MAGIC) throw new SyntaxError("something else follows its frames");
  const flags = view.getUint8(start + 4);
  const isSingleSegment = (flags & 0x20) !== 0, hasChecksum = (flags & 0x04) !== 0;
  const sizeBytes = SIZE_BYTES[flags >>> 6] || Number(isSingleSegment);
  let at = start + 5 + Number(!isSingleSegment) + DICTIONARY_BYTES[flags & 3] + sizeBytes;
  for (let isLast = false; !isLast;) {
    const header = view.getUint16(at, true) | view.getUint8(at + 2) << 16;
    const type = header >>> 1 & 3;
    if (type === RESERVED) throw new SyntaxError("it is damaged");
    isLast = (header & 1) !== 0;
    at += 3 + (type === RLE ? 1 : header >>> 3);
  }
  return at + (hasChecksum ? 4 : 0);
}

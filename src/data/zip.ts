/**
 * Reads a zip archive that holds one file, as enwik8.zip does.
 *
 * @module
 */

const END_RECORD = 0x06054b50, END_RECORD_BYTES = 22;
const CENTRAL_ENTRY = 0x02014b50;
const LOCAL_ENTRY_BYTES = 30;
const STORED = 0, DEFLATED = 8;

/**
 * The content of the only file in a zip archive (PKWARE's APPNOTE, 4.3; without Zip64, encryption or an archive comment).
 *
 * @throws {SyntaxError} where the bytes are no such archive
 */
export async function unzipSingle(archive: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  const view = new DataView(archive.buffer, archive.byteOffset, archive.byteLength);
  const end = archive.length - END_RECORD_BYTES;
  if (end < 0 || view.getUint32(end, true) !== END_RECORD) throw new SyntaxError("it is no zip archive");
  const files = view.getUint16(end + 10, true);
  if (files !== 1) throw new SyntaxError(`a zip archive with one file was expected, found ${files} files`);

  const entry = view.getUint32(end + 16, true);
  if (entry + 46 > end || view.getUint32(entry, true) !== CENTRAL_ENTRY) {
    throw new SyntaxError("its directory is damaged");
  }
  const method = view.getUint16(entry + 10, true);
  const compressed = view.getUint32(entry + 20, true);
  const local = view.getUint32(entry + 42, true);
  const start = local + LOCAL_ENTRY_BYTES + view.getUint16(local + 26, true) +
    view.getUint16(local + 28, true);
  const content = archive.subarray(start, start + compressed);
  if (method === STORED) return content;
  if (method !== DEFLATED) throw new SyntaxError(`compression method ${method} is not deflate`);
  return await decompress(content, "deflate-raw");
}

/** Unpacks a whole gzip file or deflate stream. @throws {TypeError} where it is damaged */
export async function decompress(
  bytes: Uint8Array<ArrayBuffer>,
  format: CompressionFormat,
): Promise<Uint8Array<ArrayBuffer>> {
  return await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream(format))).bytes();
}

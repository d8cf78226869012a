/**
 * The files in a zip archive.
 *
 * @module
 */

import { type FileEntry, Uint8ArrayReader, ZipReader } from "@zip.js/zip.js";
import { type Format, NotText, refusal } from "./formats.ts";
import type { Room } from "./room.ts";

/** One file of an archive. */
export interface ZippedFile {
  /** Its path in the archive, with `/`. */
  name: string;
  /** Its content; undefined for a symbolic link. */
  bytes?: Uint8Array;
}

/** The names of files that only archives have that are documents themselves. */
const DOCUMENTS: Record<string, Format> = {
  "[Content_Types].xml": { name: "an Office document" },
  "mimetype": { name: "an OpenDocument or EPUB file" },
};

/**
 * All files, sorted by path, without those of which a part of the path begins with a dot, as in a folder: what macOS adds is
 * `.DS_Store` and `__MACOSX/._…`.
 *
 * @throws {NotText} where they don't fit, are encrypted, or are the parts of a document
 * @throws {Error} where the archive is damaged, with zip.js's words
 */
export async function unzip(archive: Uint8Array, room: Room): Promise<ZippedFile[]> {
  const options = { checkSignature: true, checkOverlappingEntry: true, useWebWorkers: false };
  const entries = await new ZipReader(new Uint8ArrayReader(archive), options).getEntries();
  const document = entries.find(({ filename }) => Object.hasOwn(DOCUMENTS, filename));
  if (document) throw refusal(DOCUMENTS[document.filename]);
  const files = entries.filter((entry) => !entry.directory)
    .filter(({ filename }) => filename.split("/").every((part) => !part.startsWith(".")))
    .sort((a, b) => a.filename < b.filename ? -1 : 1);
  if (files.some(({ encrypted }) => encrypted)) {
    throw new NotText("is encrypted: unpack it first, with its password (unzip FILE)");
  }
  const twice = files.find(({ filename }, i) => filename === files[i - 1]?.filename);
  if (twice) throw new NotText(`holds ${twice.filename} twice: unpack it first (unzip FILE)`);
  const found: ZippedFile[] = [];
  for (const file of files) {
    found.push({ name: file.filename, bytes: file.symlink ? undefined : await contentOf(file, room) });
  }
  return found;
}

async function contentOf(file: FileEntry, room: Room): Promise<Uint8Array> {
  room.take(file.uncompressedSize);
  const content = new Uint8Array(file.uncompressedSize);
  let end = 0;
  await file.getData(
    new WritableStream<Uint8Array>({
      write(chunk) {
        content.set(chunk, end); // throws where there is more than was said
        end += chunk.length;
      },
    }),
  );
  return content;
}

/**
 * The files in a zip archive.
 *
 * @module
 */

import { type FileEntry, Uint8ArrayReader, ZipReader } from "@zip.js/zip.js";
import { type Format, NotText, refusal } from "./formats.ts";
import type { MemoryBudget } from "./memory_budget.ts";

/** One file of an archive. */
export interface ZippedFile {
  /** Its path in the archive, with `/`. */
  name: string;
  /** Its content; undefined for a symbolic link. */
  bytes?: Uint8Array;
}

/** Files by which an archive is recognized as a document. */
const DOCUMENTS: Record<string, Format> = {
  "[Content_Types].xml": { name: "an Office document" },
  "mimetype": { name: "an OpenDocument or EPUB file" },
};

/**
 * All files, sorted by path, without those with a part of the path that begins with a dot, as in a folder; macOS adds
 * `.DS_Store` and `__MACOSX/._…`.
 *
 * @throws {NotText} where they don't fit into memory, are encrypted, or are the parts of a document
 * @throws {Error} where the archive is damaged, with zip.js's message
 */
export async function unzip(archive: Uint8Array, budget: MemoryBudget): Promise<ZippedFile[]> {
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
    found.push({ name: file.filename, bytes: file.symlink ? undefined : await contentOf(file, budget) });
  }
  return found;
}

async function contentOf(file: FileEntry, budget: MemoryBudget): Promise<Uint8Array> {
  budget.take(file.uncompressedSize);
  const content = new Uint8Array(file.uncompressedSize);
  let end = 0;
  await file.getData(
    new WritableStream<Uint8Array>({
      write(chunk) {
        content.set(chunk, end); // throws where there is more than the declared size
        end += chunk.length;
      },
    }),
  );
  return content;
}

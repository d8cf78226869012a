/**
 * Unpacks files, by their first bytes and not by their names; other packed or binary formats are refused, with the format's name.
 *
 * @module
 */

import { createGunzip, createZstdDecompress, type Gunzip } from "node:zlib";
import { errorMessage } from "../errors.ts";
import { type Format, formatByName, formatOf, NotText, RAW_HINT, refusal } from "./formats.ts";
import type { MemoryBudget } from "./memory_budget.ts";
import { zstdFrames } from "./zstd.ts";

/** Called for each entry of an archive that is skipped. */
export type OnSkipped = (what: string) => void;

/** Reads one packed file and returns its contents. */
type Opener = (bytes: Uint8Array, context: Context) => Promise<Uint8Array[]>;

interface Context {
  budget: MemoryBudget;
  onSkipped: OnSkipped;
  /** Number of archives around the content. */
  layers: number;
}

/** Limit of nesting: archives may be nested, as a `.gz` in a `.zip`; some even contain themselves. */
const MOST_LAYERS = 3;
/** Bytes that are unpacked at once: node's default of 16 KiB takes three times as long. */
const CHUNK_BYTES = 2 ** 20;

/** A decompression stream of node, which also says how many of the bytes written to it it has used. */
type Inflating = Pick<Gunzip, "end" | "bytesWritten" | typeof Symbol.asyncIterator>;

const OPENERS: Record<string, Opener> = {
  gzip: async (bytes, context) =>
    await contentsOf(await inflate([bytes], createGunzip, context.budget), context),
  zstd: async (bytes, context) =>
    await contentsOf(await inflate([...zstdFrames(bytes)], createZstdDecompress, context.budget), context),
  zip: openZip,
};

/**
 * The texts in a file: the file itself, what it was packed from, or the files of an archive as those of a folder.
 *
 * @param name its path; a file that does not have the format of its name, as after a failed download, is refused
 * @throws {NotText}
 */
export async function textsIn(
  name: string,
  bytes: Uint8Array,
  context: { budget: MemoryBudget; onSkipped: OnSkipped; layers?: number },
): Promise<Uint8Array[]> {
  const promised = formatByName(name);
  if (promised && !formatOf(bytes)) {
    if (!promised.head) throw refusal(promised);
    throw new NotText(
      `can't be unpacked: by its name it is packed with ${promised.name}, by its first bytes it is not; ` +
        `fetch it again, or give it the name of a text if it is one; ${RAW_HINT}`,
    );
  }
  return await contentsOf(bytes, { layers: 0, ...context });
}

async function contentsOf(bytes: Uint8Array, { layers, ...context }: Context): Promise<Uint8Array[]> {
  const format = formatOf(bytes);
  if (!format) return [bytes];
  if (!Object.hasOwn(OPENERS, format.name)) throw refusal(format);
  if (layers === MOST_LAYERS) {
    throw new NotText(`is packed more than ${MOST_LAYERS} times over: unpack it first`);
  }
  try {
    return await OPENERS[format.name](bytes, { layers: layers + 1, ...context });
  } catch (error) {
    throw error instanceof NotText ? error : damaged(format, error);
  }
}

function damaged({ command }: Format, error: unknown): NotText {
  return new NotText(
    `can't be unpacked (${errorMessage(error)}): fetch it again, or unpack it first (${command})`,
  );
}

async function openZip(bytes: Uint8Array, context: Context): Promise<Uint8Array[]> {
  const { unzip } = await import("./zip.ts"); // zip.js takes 40 ms, in each process
  const contents: Uint8Array[][] = [];
  for (const { name, bytes: content } of await unzip(bytes, context.budget)) {
    if (content) contents.push(await textsOfEntry(name, content, context));
    else context.onSkipped(`${name} (a link)`);
  }
  return contents.flat();
}

async function textsOfEntry(name: string, bytes: Uint8Array, context: Context): Promise<Uint8Array[]> {
  try {
    return await textsIn(name, bytes, context);
  } catch (error) {
    if (!(error instanceof NotText)) throw error;
    throw new NotText(`holds ${name}, which ${error.message}`);
  }
}

/**
 * Unpacks streams one after the other, in two passes: the first only measures the size, so that memory is allocated once, and not
 * at all for what doesn't fit.
 */
async function inflate(
  streams: readonly Uint8Array[],
  open: (options: { chunkSize: number }) => Inflating,
  budget: MemoryBudget,
): Promise<Uint8Array> {
  let size = 0;
  for await (const chunk of chunksOf(streams, open)) {
    budget.take(chunk.length);
    size += chunk.length;
  }
  const content = new Uint8Array(size);
  let end = 0;
  for await (const chunk of chunksOf(streams, open)) {
    content.set(chunk, end);
    end += chunk.length;
  }
  return content;
}

/** The content of the streams, in chunks. Zeros after a stream are padding. */
async function* chunksOf(
  streams: readonly Uint8Array[],
  open: (options: { chunkSize: number }) => Inflating,
): AsyncGenerator<Uint8Array> {
  for (const stream of streams) {
    const engine = open({ chunkSize: CHUNK_BYTES });
    engine.end(stream);
    yield* engine;
    const isPadding = stream.subarray(engine.bytesWritten).every((byte) => byte === 0);
    if (!isPadding) throw new SyntaxError("something else follows its members");
  }
}

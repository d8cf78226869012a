/**
 * Unpacks what is packed, by its first bytes and not by its name; what can't be read here is refused by the name of its format.
 *
 * @module
 */

import { createGunzip, createZstdDecompress, type Gunzip, type ZlibOptions } from "node:zlib";
import { errorMessage } from "../errors.ts";
import { type Format, formatByName, formatOf, NotText, RAW_HINT, refusal } from "./formats.ts";
import type { Room } from "./room.ts";
import { zstdFrames } from "./zstd.ts";

/** What is left out of an archive is told, one entry each. */
export type OnSkipped = (what: string) => void;

/** Reads one packed file: the contents in it. */
type Opener = (bytes: Uint8Array, context: Context) => Promise<Uint8Array[]>;

interface Context {
  room: Room;
  onSkipped: OnSkipped;
  /** How many archives a content is packed in. */
  layers: number;
}

/** An archive may be in an archive, as a `.gz` in a `.zip` is; some hold themselves. */
const MOST_LAYERS = 3;
/** Bytes that are unpacked at once: node's own 16 KiB take three times as long. */
const CHUNK_BYTES = 2 ** 20;

/** A stream of node's that unpacks, and says how many bytes of what was written to it belong together. */
type Inflating = Pick<Gunzip, "end" | "bytesWritten" | typeof Symbol.asyncIterator>;

const OPENERS: Record<string, Opener> = {
  gzip: async (bytes, context) =>
    await contentsOf(await inflate([bytes], createGunzip, context.room), context),
  zstd: async (bytes, context) =>
    await contentsOf(await inflate([...zstdFrames(bytes)], createZstdDecompress, context.room), context),
  zip: openZip,
};

/**
 * The texts in a file: the file itself, what it was packed from, or the files of an archive as those of a folder.
 *
 * @param name its path; one that promises another format than the file has is refused, as a download that failed is
 * @throws {NotText}
 */
export async function textsIn(
  name: string,
  bytes: Uint8Array,
  context: { room: Room; onSkipped: OnSkipped; layers?: number },
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
  for (const { name, bytes: content } of await unzip(bytes, context.room)) {
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
 * Unpacks streams one after the other, and all of it twice: the first time only to see how much it is. So memory is taken once,
 * and not at all for what doesn't fit.
 */
async function inflate(
  streams: readonly Uint8Array[],
  open: (options: ZlibOptions) => Inflating,
  room: Room,
): Promise<Uint8Array> {
  let size = 0;
  for await (const chunk of chunksOf(streams, open)) {
    room.take(chunk.length);
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

/** What is in the streams, in pieces. Zeros after a stream are padding. */
async function* chunksOf(
  streams: readonly Uint8Array[],
  open: (options: ZlibOptions) => Inflating,
): AsyncGenerator<Uint8Array> {
  for (const stream of streams) {
    const engine = open({ chunkSize: CHUNK_BYTES });
    engine.end(stream);
    yield* engine;
    const isPadding = stream.subarray(engine.bytesWritten).every((byte) => byte === 0);
    if (!isPadding) throw new SyntaxError("something else follows its members");
  }
}

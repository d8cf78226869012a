/**
 * Reads the files of a text. Only regular files are read; others in a folder are skipped and reported, since a pipe may never
 * end, and a link may be broken or circular.
 *
 * @module
 */

import { ConfigError, errorMessage } from "../errors.ts";
import { formatOf, NotText } from "./formats.ts";
import { freeMemory, inGib, inMegabytes, MemoryBudget } from "./memory_budget.ts";
import { textsIn } from "./unpack.ts";

/** How files are read. */
export interface ReadOptions {
  /** Files are read as raw bytes: nothing is unpacked, and no format refused. */
  raw?: boolean;
  /** Called with a message where something in a folder or archive is skipped. */
  onSkipped?: (line: string) => void;
  /** Called with what is being done. */
  onDoing?: (doing: () => string) => void;
}

/** What a path can refer to. */
export type Kind = "file" | "folder" | "pipe" | "socket" | "device" | "link to nothing" | "link in a circle";

/** A file or another entry of the file system. */
export interface Found {
  /** The path as given. */
  path: string;
  /** Its kind, with links followed. */
  kind: Kind;
  /** Bytes of a file. */
  size: number;
}

/** Paths that refer to something else in each process. */
const OF_ONE_PROCESS = /^\/dev\/(stdin|fd\/)|^\/proc\/(self|thread-self)\//;
/** How many skipped entries are named; the rest are counted. */
const MOST_NAMED = 8;

/**
 * The texts of a file, of an archive or of a folder: all files in it, sorted by path, without those whose names begin with a dot.
 *
 * @returns undefined where the path does not exist
 * @throws {ConfigError} where something can't be read, or is not a text
 */
export async function readTexts(path: string, options: ReadOptions): Promise<Uint8Array[] | undefined> {
  const source = OF_ONE_PROCESS.test(path) ? { path, kind: "pipe" as const, size: 0 } : await find(path);
  if (!source) return;
  const skipped: string[] = [];
  const files = source.kind === "folder" ? await filesIn(path, skipped) : [source];
  if (source.kind !== "folder" && source.kind !== "file") throw unreadable(path, reasonFor(source.kind));
  refuseTooMuch(path, files);
  const context = { budget: MemoryBudget.ofMachine(), onSkipped: (what: string) => skipped.push(what) };
  const texts: Uint8Array[][] = [];
  for (const [index, file] of files.entries()) { // one after the other, since they share the memory budget
    const place = files.length > 1 ? `, file ${index + 1} of ${files.length}` : "";
    options.onDoing?.(() => `reads ${file.path} (${inMegabytes(file.size)}${place})`);
    const bytes = await readFile(file.path);
    if (!options.raw && formatOf(bytes)) {
      options.onDoing?.(() => `unpacks ${file.path} (${inMegabytes(file.size)}${place})`);
    }
    texts.push(options.raw ? [bytes] : await unpacked(file.path, bytes, context));
  }
  if (skipped.length > 0) options.onSkipped?.(describe(path, skipped));
  return texts.flat();
}

async function readFile(path: string): Promise<Uint8Array> {
  try {
    return await Deno.readFile(path);
  } catch (error) {
    if (!isMissing(error)) throw unreadable(path, `can't be read: ${errorMessage(error)}`);
    throw unreadable(
      path,
      "is named in its folder and is not there: it was removed just now, or its name is not UTF-8",
    );
  }
}

async function unpacked(
  path: string,
  bytes: Uint8Array,
  { budget, onSkipped }: Parameters<typeof textsIn>[2],
): Promise<Uint8Array[]> {
  try {
    return await textsIn(path, bytes, { budget, onSkipped: (what) => onSkipped(`${what} in ${path}`) });
  } catch (error) {
    throw error instanceof NotText ? unreadable(path, error.message) : error;
  }
}

/** All files below a folder, sorted by path. Messages about what is neither file nor folder go to `skipped`. */
async function filesIn(folder: string, skipped: string[], above: readonly string[] = []): Promise<Found[]> {
  const here = await asked(folder, () => Deno.realPath(folder));
  if (above.includes(here)) {
    skipped.push(`${folder} (a link to a folder that it is in)`);
    return [];
  }
  const names = await asked(folder, () => Array.fromAsync(Deno.readDir(folder), ({ name }) => name));
  const files: Found[][] = [];
  for (const name of names.filter((name) => !name.startsWith("."))) {
    const path = `${folder}/${name}`;
    const found = await find(path) ?? { path, kind: "file", size: 0 }; // just deleted: reading it will fail with the reason
    if (found.kind === "folder") files.push(await filesIn(path, skipped, [...above, here]));
    else if (found.kind === "file") files.push([found]);
    else skipped.push(`${path} (a ${found.kind})`);
  }
  return files.flat().sort((a, b) => a.path < b.path ? -1 : 1);
}

/** What a path refers to; undefined where it does not exist. */
export async function find(path: string): Promise<Found | undefined> {
  try {
    const info = await Deno.stat(path);
    return { path, kind: kindOf(info), size: info.size };
  } catch (error) {
    if (error instanceof Deno.errors.FilesystemLoop) return { path, kind: "link in a circle", size: 0 };
    if (!isMissing(error)) throw unreadable(path, `can't be read: ${errorMessage(error)}`);
    return await isLink(path) ? { path, kind: "link to nothing", size: 0 } : undefined;
  }
}

function kindOf({ isFile, isDirectory, isFifo, isSocket }: Deno.FileInfo): Kind {
  if (isFile) return "file";
  if (isDirectory) return "folder";
  if (isFifo) return "pipe";
  return isSocket ? "socket" : "device";
}

async function isLink(path: string): Promise<boolean> {
  try {
    return (await Deno.lstat(path)).isSymlink;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory;
}

async function asked<T>(path: string, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    throw unreadable(path, `can't be read: ${errorMessage(error)}`);
  }
}

function refuseTooMuch(path: string, files: readonly Found[]): void {
  const bytes = files.reduce((sum, { size }) => sum + size, 0), free = freeMemory();
  if (bytes <= free) return;
  throw unreadable(
    path,
    `has ${inGib(bytes)}, and ${inGib(free)} of memory are free: a run holds its text in memory`,
  );
}

function unreadable(path: string, reason: string): ConfigError {
  return new ConfigError([`data.source: ${path} ${reason}`]);
}

function reasonFor(kind: Kind): string {
  if (kind !== "pipe") return `is a ${kind}, and no file`;
  return "is a pipe, which can be read once, and every process of a run reads the text: " +
    "write it into a file first (COMMAND > FILE), and give that";
}

function describe(path: string, skipped: readonly string[]): string {
  const more = skipped.length > MOST_NAMED ? ` and ${skipped.length - MOST_NAMED} more` : "";
  return `data.source: of ${path} only regular files are read, left out: ${
    skipped.slice(0, MOST_NAMED).join(", ")
  }${more}`;
}

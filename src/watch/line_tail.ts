/**
 * Lines of a file that grows: each call gives those that were added since the last one. A file that was replaced or cut begins
 * anew. Nothing is held open between two calls, and no link is followed.
 *
 * Files are read synchronously, as the run itself writes them: in a process that trains, each answer of the event loop may take a
 * step, and a page would wait for a dozen of them.
 *
 * @module
 */

/** Bytes of one read; between two of them other things go on. */
const CHUNK = 1024 * 1024;
/** Most bytes of a line; longer ones are skipped. */
const MOST_OF_LINE = 4 * 1024 * 1024;
/** Most bytes that are read of a file when it is first seen: its end. */
const MOST = 1024 ** 3;
const NEWLINE = 10;

/** Reads a file that grows, line by line. */
export class LineTail {
  #identity = "";
  #offset = 0;
  /** The beginning of a line whose end is not there yet. */
  #begun = new Uint8Array();
  /** Whether the line that is being read is too long, or its beginning was not read. */
  #skips = false;

  /**
   * Reads nothing yet.
   *
   * @param most bytes that are read of a file when it is first seen
   */
  constructor(private readonly path: string, private readonly most = MOST) {}

  /**
   * Reads what was added.
   *
   * @param onReset called before the lines of a file that is another one than at the last call, or has become shorter
   * @param onLine gets each whole line
   */
  async read(onReset: () => void, onLine: (line: string) => void): Promise<void> {
    for (const _ of this.#chunks(onReset, onLine)) await new Promise((resolve) => setTimeout(resolve));
  }

  /** The same at once, for who has nothing else to do. */
  readSync(onLine: (line: string) => void, onReset: () => void = () => {}): void {
    for (const _ of this.#chunks(onReset, onLine));
  }

  /** Reads what was added; yields between two chunks. */
  *#chunks(onReset: () => void, onLine: (line: string) => void): Generator<void> {
    using opened = openPlainFile(this.path);
    const { size, identity } = opened ?? { size: 0, identity: "" };
    if (identity !== this.#identity || size < this.#offset) {
      this.#begin(identity, size);
      onReset();
    }
    if (!opened || size === this.#offset) return;
    opened.file.seekSync(this.#offset, Deno.SeekMode.Start);
    const chunk = new Uint8Array(Math.min(CHUNK, size - this.#offset));
    while (this.#offset < size) {
      const count = opened.file.readSync(chunk);
      if (count === null) break;
      this.#offset += count;
      this.#take(chunk.subarray(0, count), onLine);
      if (this.#offset < size) yield;
    }
  }

  #begin(identity: string, size: number): void {
    this.#identity = identity;
    this.#offset = Math.max(0, size - this.most);
    this.#begun = new Uint8Array();
    this.#skips = this.#offset > 0;
  }

  /** Gives the lines that end in a chunk, and keeps the beginning of the one that does not. */
  #take(chunk: Uint8Array, onLine: (line: string) => void): void {
    const end = chunk.lastIndexOf(NEWLINE) + 1;
    if (end > 0) {
      const from = this.#skips ? chunk.indexOf(NEWLINE) + 1 : 0;
      const whole = joined(this.#skips ? new Uint8Array() : this.#begun, chunk.subarray(from, end));
      for (const line of new TextDecoder().decode(whole).split("\n")) if (line !== "") onLine(line);
      this.#begun = new Uint8Array();
      this.#skips = false;
    }
    if (this.#skips) return;
    this.#begun = joined(this.#begun, chunk.subarray(end));
    if (this.#begun.length <= MOST_OF_LINE) return;
    this.#begun = new Uint8Array();
    this.#skips = true;
  }
}

/** A file that was opened, and is closed by its disposal. */
interface PlainFile extends Disposable {
  file: Deno.FsFile;
  size: number;
  /** Of the file behind the name. */
  identity: string;
}

/**
 * Opens a file for reading; undefined where there is none, or where the name is a link's, a pipe's or a folder's: what a folder of
 * runs holds may have been put there by others.
 */
export function openPlainFile(path: string): PlainFile | undefined {
  const identityOf = ({ dev, ino }: Deno.FileInfo) => `${dev}:${ino}`;
  for (let named = infoOf(path); named?.isFile; named = infoOf(path)) {
    try {
      const file = Deno.openSync(path);
      const opened = file.statSync();
      const identity = identityOf(opened);
      if (identity === identityOf(named)) {
        return { file, size: opened.size, identity, [Symbol.dispose]: () => file.close() };
      }
      file.close(); // it was replaced in between
    } catch (error) {
      if (isAbsence(error)) return undefined;
      throw error;
    }
  }
}

/** The text of a small file; undefined where there is none, as {@linkcode openPlainFile}, or where it is larger than that. */
export function readSmallFile(path: string, most = 1024 * 1024): string | undefined {
  using opened = openPlainFile(path);
  if (!opened || opened.size > most) return undefined;
  const bytes = new Uint8Array(opened.size);
  let filled = 0;
  for (let count: number | null = 0; filled < bytes.length && count !== null; filled += count ?? 0) {
    count = opened.file.readSync(bytes.subarray(filled));
  }
  return new TextDecoder().decode(bytes.subarray(0, filled));
}

/** What a name stands for, which may be a link; undefined where there is nothing. */
export function infoOf(path: string): Deno.FileInfo | undefined {
  try {
    return Deno.lstatSync(path);
  } catch (error) {
    if (!isAbsence(error)) throw error;
  }
}

/** Whether an error says that a path leads nowhere, or may not be read. */
export function isAbsence(error: unknown): boolean {
  const codes = ["ENOENT", "ENOTDIR", "EACCES", "EPERM", "ELOOP", "ENAMETOOLONG"];
  return codes.includes((error as { code?: string }).code ?? "");
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array<ArrayBuffer> {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}

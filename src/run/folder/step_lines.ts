/**
 * Files with lines of JSON: how they grow, and how those whose lines are in the order of steps are cut when a run is resumed.
 *
 * @module
 */

import { errorMessage, RunError } from "../../errors.ts";
import { stringifyJson } from "../../json.ts";

/** A line: what it says of a step. */
interface StepLine {
  step: number;
}

/** Adds lines to such a file. */
export class StepLines<Line extends StepLine> implements Disposable {
  readonly #file: Deno.FsFile;

  /**
   * Opens the file, or makes it.
   *
   * @param what its lines say, for errors: "metrics"
   */
  constructor(readonly path: string, readonly what: string) {
    try {
      this.#file = Deno.openSync(path, { append: true, create: true });
    } catch (error) {
      throw new RunError(`The ${what} can't be written to ${path}: ${errorMessage(error)}`);
    }
  }

  /** Adds a line, which outlives the process once this returns. */
  write(line: Line): void {
    try {
      writeAll(this.#file, new TextEncoder().encode(stringifyJson(line) + "\n"));
    } catch (error) {
      const { what, path } = this;
      throw new RunError(
        `The ${what} of step ${line.step} can't be written to ${path}: ${errorMessage(error)}`,
      );
    }
  }

  /** Closes the file. */
  [Symbol.dispose](): void {
    this.#file.close();
  }
}

/**
 * Moves the lines of later steps into a second file, `NAME.discarded.jsonl`. The file is replaced by a new one, so that a process that
 * has the old one open writes into it no more. It may be larger than memory: only the lines that are moved are read.
 */
export function discardAfter(path: string, step: number): void {
  using file = openIfThere(path);
  if (!file) return;
  const { size } = file.statSync();
  const cut = beginOfLater(file, size, step);
  if (cut < size) addLines(path.replace(/\.jsonl$/, ".discarded.jsonl"), readAt(file, cut, size));
  const kept = `${path}.tmp`;
  Deno.copyFileSync(path, kept);
  Deno.truncateSync(kept, cut);
  if (cut > 0 && !endsLine(readAt(file, cut - 1, cut))) addLines(kept, new Uint8Array());
  Deno.renameSync(kept, path);
}

/** Adds a line to a file, which outlives the process once this returns; on its own, also where a full disk has torn the one before. */
export function addLine(path: string, line: string): void {
  using file = Deno.openSync(path, { read: true, append: true, create: true });
  const { size } = file.statSync();
  const isTorn = size > 0 && !endsLine(readAt(file, size - 1, size));
  writeAll(file, new TextEncoder().encode(`${isTorn ? "\n" : ""}${line}\n`));
}

/** The step of a line; a torn last line counts as discarded. */
export function stepOf(line: string): number {
  try {
    return (JSON.parse(line) as StepLine).step;
  } catch {
    return Infinity;
  }
}

/** Where the lines of later steps begin, seen from the end. */
function beginOfLater(file: Deno.FsFile, size: number, step: number): number {
  let begin = size;
  for (const { start, text } of linesFromEnd(file, size)) {
    if (text === "") continue;
    if (stepOf(text) <= step) break;
    begin = start;
  }
  return begin;
}

/** Bytes that are read at once. */
const BLOCK = 1 << 16;
const NEWLINE = 0x0a;

/** The lines of a file, the last one first, and where each starts. */
function* linesFromEnd(file: Deno.FsFile, size: number): Generator<{ start: number; text: string }> {
  let begin = size;
  let block = new Uint8Array(); // from `begin` on, without the lines that were yielded
  while (begin > 0) {
    const before = readAt(file, Math.max(0, begin - BLOCK), begin);
    begin -= before.length;
    const joined = new Uint8Array(before.length + block.length);
    joined.set(before);
    joined.set(block, before.length);
    let end = joined.length;
    for (
      let at = joined.lastIndexOf(NEWLINE);
      at >= 0;
      at = at > 0 ? joined.lastIndexOf(NEWLINE, at - 1) : -1
    ) {
      yield { start: begin + at + 1, text: new TextDecoder().decode(joined.subarray(at + 1, end)) };
      end = at;
    }
    block = joined.subarray(0, end);
  }
  yield { start: 0, text: new TextDecoder().decode(block) };
}

function openIfThere(path: string): Deno.FsFile | undefined {
  try {
    return Deno.openSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

function readAt(file: Deno.FsFile, from: number, to: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(to - from);
  file.seekSync(from, Deno.SeekMode.Start);
  let at = 0;
  for (let read = file.readSync(bytes); read; read = file.readSync(bytes.subarray(at))) at += read;
  return bytes.subarray(0, at);
}

/** Adds lines to a file. The last one may lack its end, where the process was killed before it. */
function addLines(path: string, bytes: Uint8Array): void {
  using file = Deno.openSync(path, { append: true, create: true });
  writeAll(file, bytes);
  if (!endsLine(bytes)) writeAll(file, Uint8Array.of(NEWLINE));
}

function writeAll(file: Deno.FsFile, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length;) at += file.writeSync(bytes.subarray(at));
}

function endsLine(bytes: Uint8Array): boolean {
  return bytes.at(-1) === NEWLINE;
}

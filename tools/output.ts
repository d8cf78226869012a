/**
 * What the tools write on standard output and standard error. A run needs no reader: one that is slow, gone or on a full disk
 * never pauses a run and never ends it.
 *
 * @module
 */

import { setTimeout as pause } from "node:timers/promises";

const NEWLINE = 10;
/** Bytes that may wait for a slow reader; lines beyond that are left out. */
const MOST_WAITING = 1024 * 1024;
/** Milliseconds after which a stream that is not ready is tried again. */
const RETRY = 20;

/** Where bytes go: as `Deno.stdout` takes them, on a thread of its own, so that a full pipe blocks nothing else. */
interface Stream {
  /** Writes some of the bytes, at least one, and resolves with how many. */
  write(bytes: Uint8Array): Promise<number>;
}

/** Text that could not be written. */
export class OutputError extends Error {
  /** As in messages. */
  override readonly name = "OutputError";

  /** @param isClosed whether the reader has gone; any other reason, such as a full disk, may be transient */
  constructor(message: string, readonly isClosed = false) {
    super(message);
  }
}

/** One of the two streams. Texts are written one after the other, each as a whole. */
export class Output {
  /** Called, once for each reason, with why text that was shown is lost. Does nothing by default. */
  onLoss: (why: OutputError) => void = () => {};
  readonly #reported = new Set<string>();
  #last: Promise<void> = Promise.resolve();
  #waiting = 0;
  #written = 0;
  #isMidLine = false;
  /** Half a text was written when the rest could not be. */
  #isTorn = false;

  /**
   * Nothing is written yet.
   *
   * @param name of the stream, in messages
   */
  constructor(private readonly stream: Stream, private readonly name: string) {}

  /** Whether all was written. */
  get isIdle(): boolean {
    return this.#waiting === 0;
  }

  /** Whether the last text did not end its line. */
  get isMidLine(): boolean {
    return this.#isMidLine;
  }

  /** Shows a text. Neither waits nor fails: what can't be written is left out. */
  show(text: string): void {
    if (this.#waiting > MOST_WAITING) {
      this.#report(new OutputError(`${this.name} is read too slowly, and lines are left out`));
    } else this.print(text).catch((error) => this.#report(error));
  }

  /**
   * Writes a text that was asked for, however slow the reader is.
   *
   * @throws {OutputError} where it can't be written
   */
  print(text: string | Uint8Array): Promise<void> {
    const bytes = typeof text === "string" ? new TextEncoder().encode(text) : text;
    this.#waiting += bytes.length;
    this.#isMidLine = bytes.at(-1) !== NEWLINE;
    const printed = this.#last.then(() => this.#write(bytes)).finally(() => this.#waiting -= bytes.length);
    this.#last = printed.catch(() => {});
    return printed;
  }

  /** Resolves when all is written or lost. */
  written(): Promise<void> {
    return this.#last;
  }

  /** Waits until all is written or lost, or until nothing was written for `patience` milliseconds. */
  async flush(patience = 2000): Promise<void> {
    for (let before = -1; !this.isIdle && this.#written !== before;) {
      before = this.#written;
      const timer = new AbortController();
      await Promise.race([this.#last, pause(patience, undefined, { signal: timer.signal }).catch(() => {})]);
      timer.abort();
    }
  }

  async #write(bytes: Uint8Array): Promise<void> {
    let from = 0;
    try {
      if (this.#isTorn) await this.#writeSome(new TextEncoder().encode("\n"));
      this.#isTorn = false;
      while (from < bytes.length) from += await this.#writeSome(bytes.subarray(from));
    } catch (error) {
      this.#isTorn ||= from > 0;
      const { message } = error as Error;
      throw new OutputError(
        `${this.name} can't be written: ${message}`,
        error instanceof Deno.errors.BrokenPipe,
      );
    }
  }

  async #writeSome(bytes: Uint8Array): Promise<number> {
    for (;;) {
      try {
        const written = await this.stream.write(bytes);
        this.#written += written;
        return written;
      } catch (error) {
        const mayPass = error instanceof Deno.errors.WouldBlock || error instanceof Deno.errors.Interrupted;
        if (!mayPass) throw error;
        await pause(RETRY);
      }
    }
  }

  #report(error: OutputError): void {
    if (this.#reported.has(error.message)) return;
    this.#reported.add(error.message);
    this.onLoss(error);
  }
}

/** Standard output: what was asked for. */
export const stdout = new Output(Deno.stdout, "standard output");

/** Standard error: what people should know. What is lost there is not reported. */
export const stderr = new Output(Deno.stderr, "standard error");

/** Shows a line on standard error. */
export const say = (line: string): void => stderr.show(line + "\n");

stdout.onLoss = ({ message }) => say(message);

/**
 * What the tools write on standard output and standard error. Nobody who trains has to be watched: a reader that is slow, gone or
 * on a full disk never holds a run up and never ends it.
 *
 * @module
 */

import { setTimeout as pause } from "node:timers/promises";

/** Bytes that may wait for a slow reader; lines beyond that are left out. */
const MOST_WAITING = 1024 * 1024;
/** Milliseconds after which a stream that is not ready is tried again. */
const RETRY = 20;

/** Where bytes go: as `Deno.stdout` takes them, on a thread of its own, so that a pipe that is full stops nobody else. */
interface Stream {
  /** Writes some of the bytes, at least one, and resolves with how many. */
  write(bytes: Uint8Array): Promise<number>;
}

/** Text that could not be written. */
export class OutputError extends Error {
  /** As in messages. */
  override readonly name = "OutputError";

  /** @param isClosed whether the reader has gone; what else went wrong, a full disk say, may pass */
  constructor(message: string, readonly isClosed = false) {
    super(message);
  }
}

/** One of the two streams. Texts are written one after the other, each as a whole. */
export class Output {
  /** Told, once for each reason, why text that was shown is lost. Does nothing by default. */
  onLoss: (why: OutputError) => void = () => {};
  readonly #told = new Set<string>();
  #last: Promise<void> = Promise.resolve();
  #waiting = 0;
  #written = 0;
  /** Half a text was written when the rest was refused. */
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

  /** Shows a text to whoever watches. Neither waits nor fails: what can't be written is left out. */
  show(text: string): void {
    if (this.#waiting > MOST_WAITING) {
      this.#tell(new OutputError(`${this.name} is read too slowly, and lines are left out`));
    } else this.print(text).catch((error) => this.#tell(error));
  }

  /**
   * Writes a text that was asked for, however slow the reader is.
   *
   * @throws {OutputError} where it can't be written
   */
  print(text: string | Uint8Array): Promise<void> {
    const bytes = typeof text === "string" ? new TextEncoder().encode(text) : text;
    this.#waiting += bytes.length;
    const printed = this.#last.then(() => this.#write(bytes)).finally(() => this.#waiting -= bytes.length);
    this.#last = printed.catch(() => {});
    return printed;
  }

  /** Resolves when all is written or lost. */
  written(): Promise<void> {
    return this.#last;
  }

  /** Waits until all is written or lost, or until nothing was taken for so many milliseconds. */
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

  #tell(error: OutputError): void {
    if (this.#told.has(error.message)) return;
    this.#told.add(error.message);
    this.onLoss(error);
  }
}

/** Standard output: what was asked for. */
export const stdout = new Output(Deno.stdout, "standard output");

/** Standard error: what people should know. Nobody is told of what is lost there. */
export const stderr = new Output(Deno.stderr, "standard error");

/** Shows a line on standard error. */
export const say = (line: string): void => stderr.show(line + "\n");

stdout.onLoss = ({ message }) => say(message);

/**
 * The TCP connection under the NATS client: the client's own goes through Node's streams, which took a third of all time
 * while vectors travel (docs/lab.md).
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { WholeMessages } from "./nats_messages.ts";

/** Pieces up to this many bytes are written together with others; to write larger ones alone costs less than to copy them. */
const SMALL = 4096;

/** What the NATS client asks of a connection. One that has ended is not opened again. */
export class NatsSocket implements AsyncIterable<Uint8Array> {
  /** What the server is told about the client. */
  readonly lang = "nats.js";
  /** Of the client. */
  readonly version = "2.29.3";
  /** Whether it has ended. */
  isClosed = false;
  /** Why, where it was not asked to. */
  closeError: Error | undefined;
  #connection: Deno.TcpConn | undefined;
  /** What the server says first; without it the connection was never open, and its end is none. */
  #greeting: Uint8Array | undefined;
  readonly #messages = new WholeMessages();
  /** What is to be written, and what then. */
  #queue: { bytes: Uint8Array; written?: () => void }[] = [];
  #writing: Promise<void> | undefined;
  readonly #ended = Promise.withResolvers<void | Error>();

  /**
   * Opens the connection.
   *
   * @throws where nobody listens, or who does closes it at once
   */
  async connect({ hostname, port }: { hostname: string; port: number }): Promise<void> {
    this.#connection = await Deno.connect({ hostname, port });
    if (this.isClosed) return this.#connection.close(); // it took too long
    this.#connection.setNoDelay(true);
    this.#greeting = await this.#read();
    if (!this.#greeting) throw new Error("the server closed the connection");
  }

  /** What arrives, until the connection ends. */
  async *[Symbol.asyncIterator](): AsyncIterableIterator<Uint8Array> {
    try {
      for (let bytes = this.#greeting; bytes && !this.isClosed; bytes = await this.#read()) yield bytes;
      this.#end();
    } catch (error) {
      this.#end(error as Error);
    }
  }

  /**
   * Writes bytes, after all that was sent before. Whether the other side is there is seen when reading.
   *
   * @param bytes as they are until they are written
   * @param written called then; never where the connection ends before
   */
  send(bytes: Uint8Array, written?: () => void): void {
    this.#queue.push({ bytes, written });
    this.#writing ??= this.#writeAll().catch(() => {});
  }

  /** Ends the connection when all that was sent is written. */
  async close(error?: Error): Promise<void> {
    await this.#writing;
    this.#end(error);
  }

  /** Ends the connection at once. */
  disconnect(): void {
    this.#end();
  }

  /** Settles when the connection has ended. */
  closed(): Promise<void | Error> {
    return this.#ended.promise;
  }

  /** Before another connection is opened; this one has ended by then. */
  discard(): void {}

  /** The client asks; connections with TLS are its own. */
  isEncrypted(): boolean {
    return false;
  }

  /** Whole messages, as many as have arrived. */
  async #read(): Promise<Uint8Array | undefined> {
    while (true) {
      const whole = this.#messages.take();
      if (whole) return whole;
      const count = await this.#connection!.read(this.#messages.room());
      if (count === null) return undefined;
      this.#messages.note(count);
    }
  }

  async #writeAll(): Promise<void> {
    await null; // what is sent in the same turn is written together
    try {
      while (this.#queue.length > 0) {
        const { bytes, written } = this.#nextPiece();
        await this.#write(bytes);
        written?.();
      }
    } finally {
      this.#queue = [];
      this.#writing = undefined;
    }
  }

  /** The next large piece, or all small ones before it in one. */
  #nextPiece(): { bytes: Uint8Array; written?: () => void } {
    const large = this.#queue.findIndex(({ bytes }) => bytes.length > SMALL);
    const small = large < 0 ? this.#queue.length : large;
    if (small < 2) return this.#queue.shift()!;
    const pieces = this.#queue.splice(0, small);
    return {
      bytes: Buffer.concat(pieces.map(({ bytes }) => bytes)),
      written: () => pieces.forEach(({ written }) => written?.()),
    };
  }

  async #write(bytes: Uint8Array): Promise<void> {
    for (let from = 0; from < bytes.length && !this.isClosed;) {
      from += await this.#connection!.write(bytes.subarray(from));
    }
  }

  #end(error?: Error): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.closeError = error;
    this.#connection?.close();
    if (this.#greeting) this.#ended.resolve(error);
  }
}

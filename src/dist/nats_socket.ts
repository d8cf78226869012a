/**
 * The TCP connection under the NATS client: the client's own goes through Node's streams, which took a third of all time
 * while vectors travel (docs/lab.md).
 *
 * @module
 */

/** What is read goes into pieces of this many bytes, one after the other; none is used again. */
const SLAB = 4 * 1024 * 1024;
/** A slab with less room than this is left. */
const LEAST_ROOM = 256 * 1024;

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
  #slab = new Uint8Array(SLAB);
  #used = 0;
  /** Settles when all that was sent so far is written. */
  #sent: Promise<void> = Promise.resolve();
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

  /** Writes bytes after all that was sent before. Whether the other side is there is seen when reading. */
  send(bytes: Uint8Array): void {
    this.#sent = this.#sent.then(() => this.#write(bytes)).catch(() => {});
  }

  /** Ends the connection when all that was sent is written. */
  async close(error?: Error): Promise<void> {
    await this.#sent;
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

  async #read(): Promise<Uint8Array | undefined> {
    if (SLAB - this.#used < LEAST_ROOM) {
      this.#slab = new Uint8Array(SLAB);
      this.#used = 0;
    }
    const room = this.#slab.subarray(this.#used);
    const count = await this.#connection!.read(room);
    if (count === null) return undefined;
    this.#used += count;
    return room.subarray(0, count);
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

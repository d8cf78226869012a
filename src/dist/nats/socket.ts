/**
 * The TCP connection under the NATS client, with TLS where it is wanted: the client's own goes through Node's streams, which
 * took a third of all time while vectors travel (docs/lab.md), and knows no end where the other side says nothing.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { errorMessage, RunError } from "../../errors.ts";
import { printableLine } from "../../printable.ts";
import { within } from "../protocol/timeouts.ts";
import { ForeignError, WholeMessages } from "./framing.ts";

/** Seconds that a connection may take: both sides may be starting on a busy machine. Where no process listens, that is known at once. */
export const CONNECT_SECONDS = 20;
/** Seconds that what was sent last may take to be written when the connection is closed. */
const CLOSE_SECONDS = 5;
/** Pieces up to this many bytes are written together with others; to write larger ones alone costs less than to copy them. */
const SMALL = 4096;

/** Where the client connects to. */
interface Server {
  hostname: string;
  port: number;
  /** Whose certificate it has to show, where that is another name. */
  tlsName?: string;
}

/** What the client was told, as far as it is for the connection. */
export interface SocketOptions {
  /** Whether the connection is to be encrypted. */
  tls?: object | null;
  /** Ends an attempt to connect. */
  signal?: AbortSignal;
  /** Called when the connection has ended, with the reason: the client reports it only once it is connected. */
  onEnd?: (reason: Error) => void;
}

/** What a server says of itself, as far as it is for the connection. */
interface ServerInfo {
  tls_required?: boolean;
  tls_available?: boolean;
}

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
  readonly #dialing = new AbortController();
  #connection: Deno.Conn | undefined;
  #isEncrypted = false;
  #onEnd: SocketOptions["onEnd"];
  /** The last that the server has complained about. */
  #complaint: Error | undefined;
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
   * @throws {RunError} where no NATS server is there, or one that wants TLS where it is not wanted here, or the other way round
   * @throws the system's error where no process listens, the signal's reason, and an error where it takes too long
   */
  async connect(server: Server, { tls, signal, onEnd }: SocketOptions): Promise<void> {
    this.#onEnd = onEnd;
    let missing =
      "nothing answers there, as where the address is wrong, a firewall drops what is sent, or the machine is off";
    const late = setTimeout(
      () => this.#end(new Error(`waited for ${CONNECT_SECONDS} s, and ${missing}`)),
      1000 * CONNECT_SECONDS,
    );
    const abort = () => this.#end(signal!.reason);
    signal?.addEventListener("abort", abort);
    try {
      const { hostname, port } = server;
      const connection = await Deno.connect({ hostname, port, signal: this.#dialing.signal });
      this.#connection = connection;
      if (this.isClosed) connection.close();
      connection.setNoDelay(true);
      missing = "what listens there says nothing";
      const greeting = await this.#read();
      if (!greeting) throw new Error("the server closed the connection");
      missing = "the server does not continue with TLS";
      await this.#secure(connection, server, infoOf(greeting), Boolean(tls));
      this.#greeting = greeting;
    } catch (error) {
      const reason = this.closeError ?? error; // who has closed it knows more
      if (!(reason instanceof ForeignError)) throw reason;
      throw new RunError(`what listens at ${placeOf(server)} is no NATS server: ${reason.message}`);
    } finally {
      clearTimeout(late);
      signal?.removeEventListener("abort", abort);
    }
  }

  /** Nothing but the greeting has passed yet: credentials follow it. */
  async #secure(
    connection: Deno.TcpConn,
    server: Server,
    { tls_required, tls_available }: ServerInfo,
    isWanted: boolean,
  ): Promise<void> {
    const place = placeOf(server);
    if (!isWanted && tls_required) {
      throw new RunError(
        `the NATS server at ${place} wants TLS; write its address with tls:// instead of nats://`,
      );
    }
    if (!isWanted) return;
    if (!tls_required && !tls_available) {
      throw new RunError(
        `the NATS server at ${place} has no TLS; write its address with nats:// instead of tls://`,
      );
    }
    try {
      const secured = await Deno.startTls(connection, { hostname: server.tlsName || server.hostname });
      this.#connection = secured;
      await secured.handshake();
      this.#isEncrypted = true;
    } catch (error) {
      if (this.isClosed) throw error;
      throw new RunError(
        `could not agree on TLS with the NATS server at ${place} (${
          errorMessage(error)
        }); where its certificate is signed by a CA ` +
          "of your own, name the CA's file in the environment variable DENO_CERT",
      );
    }
  }

  /** What arrives, until the connection ends. It ends, too, where the client can't parse it and stops reading. */
  async *[Symbol.asyncIterator](): AsyncIterableIterator<Uint8Array> {
    let error: Error | undefined = new Error("what the server said could not be read");
    try {
      for (let bytes = this.#greeting; bytes && !this.isClosed; bytes = await this.#read()) {
        this.#complaint = complaintIn(bytes, bytes === this.#greeting) ?? this.#complaint;
        yield bytes;
      }
      error = this.#complaint;
    } catch (caught) {
      error = caught as Error;
    } finally {
      this.#end(error);
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

  /** Ends the connection when all that was sent is written; after a while also where the other side does not take it. */
  async close(error?: Error): Promise<void> {
    if (!this.isClosed && this.#writing) await within(CLOSE_SECONDS, this.#writing);
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

  /** Whether it has TLS. */
  isEncrypted(): boolean {
    return this.#isEncrypted;
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
    this.#dialing.abort();
    this.#connection?.close();
    if (this.#greeting) this.#ended.resolve(error);
    this.#onEnd?.(error ?? new Error("the server closed the connection"));
  }
}

function infoOf(greeting: Uint8Array): ServerInfo {
  const [line] = new TextDecoder().decode(greeting).split("\r\n", 1);
  try {
    if (line.startsWith("INFO ")) return JSON.parse(line.slice("INFO ".length)) ?? {};
  } catch { // no JSON
  }
  throw new ForeignError("it does not say what a NATS server says first");
}

/** With the greeting it may come in one piece; later pieces may hold anything. */
function complaintIn(messages: Uint8Array, isGreeting: boolean): Error | undefined {
  if (!isGreeting && messages[0] !== "-".charCodeAt(0)) return undefined;
  const [, words] = /^-ERR '?(.*?)'?\r$/m.exec(new TextDecoder().decode(messages)) ?? [];
  return words === undefined ? undefined : new Error(`the server says "${printableLine(words)}"`);
}

function placeOf({ hostname, port }: Server): string {
  return `${hostname.includes(":") ? `[${hostname}]` : hostname}:${port}`;
}

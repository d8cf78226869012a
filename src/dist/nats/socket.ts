/**
 * The TCP connection under the NATS client, with TLS where it is wanted: the client's own goes through Node's streams, which
 * took a third of the time of an all-reduce (docs/lab.md), and has no timeout where the other side sends nothing.
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
/** Timeout of writing what is queued when the connection is closed, in seconds. */
const CLOSE_SECONDS = 5;
/** Pieces up to this many bytes are written together; larger ones are written alone, which costs less than copying them. */
const SMALL = 4096;

/** The server to connect to. */
interface Server {
  hostname: string;
  port: number;
  /** Name in its certificate, where that differs from `hostname`. */
  tlsName?: string;
}

/** The client's settings that concern the connection. */
export interface SocketOptions {
  /** Whether the connection is to be encrypted. */
  tls?: object | null;
  /** Ends an attempt to connect. */
  signal?: AbortSignal;
  /** Called when the connection has ended, with the reason: the client reports it only once it is connected. */
  onEnd?: (reason: Error) => void;
}

/** The parts of a server's INFO that concern the connection. */
interface ServerInfo {
  tls_required?: boolean;
  tls_available?: boolean;
}

/** The transport interface of the NATS client. A connection that has ended is not opened again. */
export class NatsSocket implements AsyncIterable<Uint8Array> {
  /** Name of the client, sent to the server. */
  readonly lang = "nats.js";
  /** Version of the client. */
  readonly version = "2.29.3";
  /** Whether it has ended. */
  isClosed = false;
  /** The reason, where the client did not close it. */
  closeError: Error | undefined;
  readonly #dialing = new AbortController();
  #connection: Deno.Conn | undefined;
  #isEncrypted = false;
  #onEnd: SocketOptions["onEnd"];
  /** The last error that the server has sent. */
  #complaint: Error | undefined;
  /** The server's first message; without it the connection was never open, and its end is not reported. */
  #greeting: Uint8Array | undefined;
  readonly #messages = new WholeMessages();
  /** Data to be written, and callbacks. */
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
      const reason = this.closeError ?? error; // the reason for closing it is more specific
      if (!(reason instanceof ForeignError)) throw reason;
      throw new RunError(`what listens at ${placeOf(server)} is not a NATS server: ${reason.message}`);
    } finally {
      clearTimeout(late);
      signal?.removeEventListener("abort", abort);
    }
  }

  /** Starts TLS where it is wanted, after the greeting and before credentials are sent. */
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
      error = this.#complaint ?? caught as Error; // who rejects a client may reset the connection after the reason
    } finally {
      this.#end(error);
    }
  }

  /**
   * Queues bytes for writing. Whether the other side is alive shows when reading.
   *
   * @param bytes must not change until they are written
   * @param written called when they are written; never where the connection ends before
   */
  send(bytes: Uint8Array, written?: () => void): void {
    this.#queue.push({ bytes, written });
    this.#writing ??= this.#writeAll().catch(() => {});
  }

  /** Ends the connection when all that was sent is written, or after a timeout. */
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

  /** Called by the client before it opens another connection; this one has ended by then. */
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
    await null; // what is sent in the same turn of the event loop is written together
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
  throw new ForeignError("its first message is not that of a NATS server");
}

/** The error that a server has sent. It may arrive in one piece with the greeting; otherwise a piece begins with it. */
function complaintIn(messages: Uint8Array, isGreeting: boolean): Error | undefined {
  if (!isGreeting && messages[0] !== "-".charCodeAt(0)) return undefined;
  const [, text] = /^-ERR '?(.*?)'?\r$/m.exec(new TextDecoder().decode(messages)) ?? [];
  return text === undefined ? undefined : new Error(`the server says "${printableLine(text)}"`);
}

function placeOf({ hostname, port }: Server): string {
  return `${hostname.includes(":") ? `[${hostname}]` : hostname}:${port}`;
}

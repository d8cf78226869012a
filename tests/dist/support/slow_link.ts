/**
 * A slow network between NATS clients and their server: a TCP proxy that lets through so many bytes per second in each direction
 * of each connection, holds them up on the way, and cuts connections at moments that a seed decides. It knows nothing of loss
 * and of TCP's slow start; a sender sees what it would see behind a router with a short queue.
 *
 * @module
 */

import { setTimeout as pause } from "node:timers/promises";
import { randomStream } from "../../../src/prng.ts";

/** What the network is like. */
export interface LinkOptions {
  /** In each direction of each connection. */
  bytesPerSecond: number;
  /** In each direction: half of a round trip. */
  delaySeconds: number;
  /** Probability that a connection is cut within a minute; 0 by default. */
  cutsPerMinute?: number;
  /** Decides when; 1 by default. */
  seed?: number;
}

/** 100 Mbit/s, 40 ms there and back. */
export const SLOW: Readonly<LinkOptions> = { bytesPerSecond: 12.5e6, delaySeconds: 0.02 };

/** Bytes that are passed on at once. */
const PIECE = 16 * 1024;
/** Bytes that the router keeps for a direction before its sender has to wait. */
const QUEUE = 128 * 1024;

/** Seconds that a timer can take. */
const LONGEST_TIMER = 2 ** 31 / 1000 - 1;

/** Bytes in flight. */
interface Piece {
  bytes: Uint8Array;
  /** When the last of them arrives, in milliseconds. */
  due: number;
}

/** A connection through the proxy. */
interface Connection {
  client: Deno.TcpConn;
  server: Deno.TcpConn;
}

/** A proxy in front of a server; disposing of it ends it. */
export class SlowLink implements AsyncDisposable {
  /** The server's URL, by way of this proxy. */
  readonly url: string;
  /** Connections that were cut so far. */
  cuts = 0;
  /** Bytes that were passed on so far, in both directions. */
  carried = 0;
  readonly #listener: Deno.TcpListener;
  readonly #open = new Set<Connection>();
  readonly #cutTimers = new Set<ReturnType<typeof setTimeout>>();
  readonly #accepting: Promise<void>;
  /** Bytes carried at which the connection that carries them is cut. */
  #cutAt = Infinity;
  #accepted = 0;

  /** A proxy on a free port of the loopback interface, for the server with this URL. */
  constructor(readonly serverUrl: string, readonly options: LinkOptions) {
    this.#listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const url = new URL(serverUrl);
    url.hostname = "127.0.0.1";
    url.port = String(this.#listener.addr.port);
    this.url = url.href;
    this.#accepting = this.#accept();
  }

  /** Cuts all connections. */
  cut(): void {
    for (const connection of this.#open) this.#cut(connection);
  }

  /** Cuts the connection that carries the last of so many more bytes. */
  cutAfter(bytes: number): void {
    this.#cutAt = this.carried + bytes;
  }

  /** Ends the proxy and its connections. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    for (const timer of this.#cutTimers) clearTimeout(timer);
    for (const connection of this.#open) this.#close(connection);
    await this.#accepting;
  }

  async #accept(): Promise<void> {
    const { hostname, port } = new URL(this.serverUrl);
    for await (const client of this.#listener) {
      const server = await Deno.connect({ hostname, port: Number(port) }).catch(() => undefined);
      if (!server) {
        client.close(); // the server is away
        continue;
      }
      const connection = { client, server };
      for (const end of [client, server]) end.setNoDelay(true);
      this.#open.add(connection);
      this.#planCut(connection);
      this.#pass(client, server, connection);
      this.#pass(server, client, connection);
    }
  }

  #planCut(connection: Connection): void {
    const { cutsPerMinute = 0, seed = 1 } = this.options;
    const seconds = lifetime(cutsPerMinute, seed, this.#accepted++);
    if (seconds > LONGEST_TIMER) return;
    const timer = setTimeout(() => {
      this.#cutTimers.delete(timer);
      if (this.#open.has(connection)) this.#cut(connection);
    }, 1000 * seconds);
    this.#cutTimers.add(timer);
  }

  #cut(connection: Connection): void {
    this.cuts++;
    this.#close(connection);
  }

  #close(connection: Connection): void {
    if (!this.#open.delete(connection)) return;
    connection.client.close();
    connection.server.close();
  }

  /** One direction of a connection, until either side ends it. */
  async #pass(from: Deno.TcpConn, to: Deno.TcpConn, connection: Connection): Promise<void> {
    const { bytesPerSecond, delaySeconds } = this.options;
    const perMs = bytesPerSecond / 1000;
    const onTheWay: Piece[] = [];
    let delivering: Promise<void> | undefined;
    let freeAt = 0; // when the line has taken all that was read so far
    try {
      for (;;) {
        const bytes = new Uint8Array(PIECE);
        const count = await from.read(bytes);
        if (count === null) break;
        const now = performance.now();
        freeAt = Math.max(freeAt, now) + count / perMs;
        onTheWay.push({ bytes: bytes.subarray(0, count), due: freeAt + delaySeconds * 1000 });
        delivering ??= this.#deliver(onTheWay, to, connection).finally(() => delivering = undefined);
        delivering.catch(() => {}); // it is seen where it is awaited, or by the next read
        const queued = freeAt - now;
        if (queued > QUEUE / perMs) await pause(queued - QUEUE / perMs);
      }
      await delivering;
    } catch {
      // the connection was cut, or one side is gone
    }
    this.#close(connection);
  }

  async #deliver(onTheWay: Piece[], to: Deno.TcpConn, connection: Connection): Promise<void> {
    for (let piece = onTheWay.shift(); piece; piece = onTheWay.shift()) {
      const wait = piece.due - performance.now();
      if (wait > 0) await pause(wait);
      for (let from = 0; from < piece.bytes.length;) from += await to.write(piece.bytes.subarray(from));
      this.carried += piece.bytes.length;
      if (this.carried < this.#cutAt) continue;
      this.#cutAt = Infinity;
      this.#cut(connection);
    }
  }
}

/** Seconds until a connection is cut, exponentially distributed: so many of all are within any minute. */
export function lifetime(cutsPerMinute: number, seed: number, connection: number): number {
  const uniform = randomStream(seed, "cuts").uniform(connection);
  return cutsPerMinute === 0 ? Infinity : 60 * Math.log1p(-uniform) / Math.log1p(-cutsPerMinute);
}

/** As a process: `slow_link.ts '{"url": …, "bytesPerSecond": …, …}'` writes the proxy's URL, and ends when standard input does. */
if (import.meta.main) {
  const { url, ...options }: LinkOptions & { url: string } = JSON.parse(Deno.args[0]);
  await using link = new SlowLink(url, options);
  console.log(link.url);
  for await (const _ of Deno.stdin.readable);
  console.log(link.cuts);
}

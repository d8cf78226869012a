/**
 * src/dist/nats/ uses more of the package `nats` than its public API: where another version of it changes that, a test here
 * says what, and who relies on it. A transport on paper takes the place of the connection.
 *
 * @module
 */

import assert from "node:assert/strict";
import settings from "../../../deno.json" with { type: "json" };
import { NatsSocket } from "../../../src/dist/nats/socket.ts";

const VERSION = "2.29.3";
/** Not a literal where it is imported, so that a test fails where there is no such file, and not the type check. */
const INTERNALS: string = "nats/lib/nats-base-client/internal_mod.js";

/** Fails with what another version has changed, and where that breaks flashmob. */
function relied(holds: unknown, where: string, what: string): asserts holds {
  assert.ok(holds, `the package nats is not as ${where} needs it: ${what}`);
}

/** The part of the client that is used. */
interface Client {
  protocol: { transport: unknown; flushPending: unknown };
  publish(subject: string, data: Uint8Array): void;
  request(subject: string, data: Uint8Array, options: object): Promise<unknown>;
  subscribe(subject: string, options: object): unknown;
  close(): Promise<void>;
}

interface Internals {
  NatsConnectionImpl: { connect(options: object): Promise<Client> };
  setTransportFactory(options: { factory: () => PaperTransport }): void;
}

async function internals(): Promise<Internals> {
  let found: Partial<Internals> = {};
  try {
    found = await import(INTERNALS);
  } catch (error) {
    relied(false, "src/dist/nats/connection.ts", `there is no ${INTERNALS} (${(error as Error).message})`);
  }
  const { NatsConnectionImpl, setTransportFactory } = found;
  const where = "src/dist/nats/connection.ts";
  relied(
    typeof NatsConnectionImpl?.connect === "function",
    where,
    `${INTERNALS} has no NatsConnectionImpl.connect()`,
  );
  relied(typeof setTransportFactory === "function", where, `${INTERNALS} has no setTransportFactory()`);
  return { NatsConnectionImpl, setTransportFactory };
}

const encode = (text: string) => new TextEncoder().encode(text);
const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const INFO = 'INFO {"server_id":"x","version":"2.15.1","proto":1,"headers":true,"max_payload":1048576}\r\n';

/** A connection to a server that greets and answers pings. */
class PaperTransport implements AsyncIterable<Uint8Array> {
  readonly lang = "nats.js";
  readonly version = VERSION;
  isClosed = false;
  closeError: Error | undefined;
  /** What {@linkcode PaperTransport.connect} was given. */
  given: { server?: { hostname: string; port: number }; options?: Record<string, unknown> } = {};
  readonly sent: Uint8Array[] = [];
  /** Pieces of what arrives that the client was through with when it asked for the next. */
  readonly done = new Set<Uint8Array>();
  readonly #arriving: Uint8Array[] = [encode(INFO)];
  #arrived = Promise.withResolvers<void>();
  readonly #ended = Promise.withResolvers<void | Error>();

  connect(server: { hostname: string; port: number }, options: Record<string, unknown>): Promise<void> {
    this.given = { server, options };
    return Promise.resolve();
  }

  async *[Symbol.asyncIterator](): AsyncIterableIterator<Uint8Array> {
    while (!this.isClosed) {
      const piece = this.#arriving.shift();
      if (piece) {
        yield piece;
        this.done.add(piece);
      } else {
        this.#arrived = Promise.withResolvers();
        await this.#arrived.promise;
      }
    }
  }

  arrive(piece: Uint8Array): void {
    this.#arriving.push(piece);
    this.#arrived.resolve();
  }

  send(bytes: Uint8Array): void {
    this.sent.push(bytes);
    if (decode(bytes).endsWith("PING\r\n")) this.arrive(encode("PONG\r\n"));
  }

  end(): void {
    this.isClosed = true;
    this.#arrived.resolve();
    this.#ended.resolve();
  }

  close(): Promise<void> {
    return Promise.resolve(this.end());
  }

  disconnect(): void {
    this.end();
  }

  closed(): Promise<void | Error> {
    return this.#ended.promise;
  }

  discard(): void {}

  isEncrypted(): boolean {
    return false;
  }
}

/** A client over transports on paper, in the order in which it made them. */
async function onPaper(options: object = {}) {
  const { NatsConnectionImpl, setTransportFactory } = await internals();
  const transports: PaperTransport[] = [];
  setTransportFactory({
    factory: () => {
      transports.push(new PaperTransport());
      return transports.at(-1)!;
    },
  });
  const client = await NatsConnectionImpl.connect({
    servers: "paper.test:4333",
    reconnectTimeWait: 1,
    reconnectJitter: 0,
    maxReconnectAttempts: 5,
    timeout: 5000,
    ...options,
  });
  relied(
    transports.length === 1,
    "src/dist/nats/connection.ts",
    "connect() asks the factory for no transport",
  );
  return { client, transports, [Symbol.asyncDispose]: () => client.close() };
}

const turn = () => new Promise((resolve) => setTimeout(resolve));

Deno.test("nats is pinned to the version whose inside is known, and tells servers that version", () => {
  const { nats, "nats/": files } = settings.imports;
  const advice =
    "has to name one exact version of nats: see what tests/dist/nats/internals_test.ts pins, then change VERSION there";
  assert.equal(nats, `npm:nats@${VERSION}`, `deno.json ${advice}`);
  assert.equal(files, `npm:/nats@${VERSION}/`, `deno.json ${advice}`);
  assert.equal(
    new NatsSocket().version,
    VERSION,
    "the version in src/dist/nats/socket.ts is another one than in deno.json",
  );
});

Deno.test("nats hands the server and unknown options to the factory's transport", async () => {
  const { signal } = new AbortController(), onEnd = () => {};
  await using paper = await onPaper({ signal, onEnd });
  const { client, transports: [transport] } = paper;
  const { server, options } = transport.given;
  relied(
    server?.hostname === "paper.test" && server.port === 4333,
    "src/dist/nats/socket.ts",
    "a transport's connect() does not get the server's hostname and port",
  );
  relied(
    options?.signal === signal && options.onEnd === onEnd,
    "src/dist/nats/socket.ts",
    "a transport's connect() does not get options that the client does not know, signal and onEnd",
  );
  relied(
    client.protocol?.transport === transport,
    "src/dist/nats/transport.ts",
    "the client's protocol.transport is not what the factory made, to which large messages are written",
  );
});

Deno.test("nats sends at once by flushPending() what was published before, and not again", async () => {
  await using paper = await onPaper();
  const { client: { protocol }, client, transports: [transport] } = paper;
  await turn();
  const before = transport.sent.length;
  client.publish("a", encode("first"));
  client.publish("b", encode("second"));
  const where = "src/dist/nats/transport.ts";
  relied(
    typeof protocol.flushPending === "function",
    where,
    "the private protocol.flushPending() is not there",
  );
  protocol.flushPending();
  const sent = () => transport.sent.slice(before).map(decode).join("");
  const wanted = "PUB a 5\r\nfirst\r\nPUB b 6\r\nsecond\r\n";
  relied(
    sent() === wanted,
    where,
    `after protocol.flushPending() the transport has not got what was published before, but ${
      JSON.stringify(sent())
    }: large ` +
      "messages would go before smaller ones that were sent first",
  );
  await turn();
  relied(
    sent() === wanted,
    where,
    `what protocol.flushPending() has sent is sent again: ${JSON.stringify(sent())}`,
  );
});

Deno.test("nats is through with what has arrived when it asks for more, but for answers to its inbox", async () => {
  await using paper = await onPaper();
  const { client, transports: [transport] } = paper;
  const where = "src/dist/nats/framing.ts";
  let seen: { data: Uint8Array; wasDone: boolean } | undefined;
  const piece = encode("MSG news 1 5\r\nhello\r\n");
  client.subscribe("news", {
    callback: (_: unknown, { data }: { data: Uint8Array }) =>
      seen = { data, wasDone: transport.done.has(piece) },
  });
  transport.arrive(piece);
  await turn();
  relied(
    seen && !seen.wasDone && decode(seen.data) === "hello",
    where,
    "a subscription's callback is not called before the client asks for what arrives next, and buffers are used again then",
  );
  relied(
    seen.data.buffer === piece.buffer,
    where,
    "messages that come in one piece are copied, so that it is in vain to cut what arrives between messages",
  );

  const before = transport.sent.length;
  const answer = client.request("question", encode("?"), { timeout: 1000 }).catch(() => {});
  await turn();
  const asked = transport.sent.slice(before).map(decode).join("");
  relied(
    /^PUB question _INBOX\.\S+ 1\r$/m.test(asked),
    where,
    `requests are not answered to a subject in _INBOX, whose buffers are not used again: ${
      JSON.stringify(asked)
    }`,
  );
  await client.close();
  await answer;
});

Deno.test("nats asks the factory for another transport when one has ended", async () => {
  await using paper = await onPaper();
  const { client, transports } = paper;
  transports[0].end();
  for (let turns = 0; turns < 2000 && transports.length < 2; turns++) await turn();
  relied(
    transports.length === 2 && client.protocol.transport === transports[1],
    "src/dist/nats/socket.ts",
    "a connection that is lost is not made again over a new transport",
  );
});

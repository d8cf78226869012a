/**
 * The message bus over NATS.
 *
 * @module
 */

import { connect, type ConnectionOptions, ErrorCode, Events, type NatsConnection, NatsError } from "nats";
import { NatsConnectionImpl, setTransportFactory } from "nats/lib/nats-base-client/internal_mod.js";
import { RunError, TransientError, wordsOf } from "../errors.ts";
import { printableLine } from "../printable.ts";
import { Buffers } from "./buffers.ts";
import { bytesOf, type Composition, compositionOf } from "./frames.ts";
import { knock } from "./nats_handshake.ts";
import { NatsSocket } from "./nats_socket.ts";
import type { Answer, Message, Transport } from "./transport.ts";

/** Milliseconds between two attempts to connect again. */
const RECONNECT_WAIT = 250;
/** Milliseconds between two pings; after the third without an answer the connection counts as lost. */
const PING_INTERVAL = 10_000;
/** Messages of more bytes go past the client, which would copy them together with others. */
const LARGE = 64 * 1024;
/** Bytes that are kept for the next messages. */
const SPARE = 16 * 1024 * 1024;
const encoder = new TextEncoder();
const LINE_BREAK = encoder.encode("\r\n");
/** Milliseconds that a connection may take: both sides may be starting on a busy machine. Where nobody listens, that is known at once. */
const CONNECT_TIMEOUT = 20_000;

/**
 * Connects to a NATS server.
 *
 * @param url `nats://HOST:PORT`, `nats://TOKEN@HOST:PORT` or `nats://USER:PASSWORD@HOST:PORT`; `tls://` for a server with TLS
 * @param name shown in the server's list of connections
 * @throws {TypeError} where the URL can't be read
 * @throws {RunError} where nobody listens there, or the token is wrong
 *
 * @example
 * ```ts ignore
 * import { connectNats } from "./nats_transport.ts";
 * const transport = await connectNats("nats://secret@127.0.0.1:4222", "worker-0");
 * ```
 */
export async function connectNats(url: string, name: string): Promise<Transport> {
  return new NatsTransport(await openConnection(url, name));
}

/** The client's connection to a server; parameters and errors are those of {@linkcode connectNats}. */
export async function openConnection(url: string, name: string): Promise<NatsConnection> {
  const { hostname, port, tls, token, user, pass } = parseAddress(url);
  const address = `${hostname}:${port}`;
  const credentials = { ...(token ? { token } : {}), ...(user ? { user, pass } : {}) };
  try {
    if (!tls) await refuseDenied(hostname, port, { auth_token: token, user, pass }, address);
    return await (tls ? connect : connectPlainly)({
      name,
      servers: address,
      ...credentials,
      ...(tls ? { tls: {} } : {}),
      timeout: CONNECT_TIMEOUT,
      maxReconnectAttempts: -1,
      reconnectTimeWait: RECONNECT_WAIT,
      pingInterval: PING_INTERVAL,
    });
  } catch (error) {
    throw connectError(error, address);
  }
}

/** Connects without TLS over our own socket. The client takes the kind of its sockets from one place for the whole process. */
function connectPlainly(options: ConnectionOptions): Promise<NatsConnection> {
  setTransportFactory({ factory: () => new NatsSocket() });
  return NatsConnectionImpl.connect(options);
}

/** The parts of a server's URL. */
interface Address {
  hostname: string;
  port: number;
  tls: boolean;
  token: string;
  user: string;
  pass: string;
}

/** The client does not look for credentials in a URL. */
function parseAddress(url: string): Address {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (!parsed || !["nats:", "tls:"].includes(parsed.protocol) || !parsed.hostname) {
    throw new TypeError(`a NATS server's address like nats://HOST:4222 was expected, found "${url}"`);
  }
  const user = decodeURIComponent(parsed.username), pass = decodeURIComponent(parsed.password);
  return {
    hostname: parsed.hostname,
    port: Number(parsed.port || 4222),
    tls: parsed.protocol === "tls:",
    token: pass ? "" : user,
    user: pass ? user : "",
    pass,
  };
}

async function refuseDenied(
  hostname: string,
  port: number,
  credentials: Record<string, string>,
  address: string,
): Promise<void> {
  const bare = hostname.replace(/^\[(.*)\]$/, "$1"); // an IPv6 address goes without its brackets
  if (await knock(bare, port, credentials) === "denied") throw denied(address);
}

function denied(address: string): RunError {
  return new RunError(
    `the NATS server at ${address} does not accept the token or password in the address; ` +
      "copy the whole address that the coordinator printed",
  );
}

/** Says what was tried and what to do, without the credentials. */
function connectError(error: unknown, address: string): Error {
  if (error instanceof RunError) return error;
  const code = error instanceof NatsError ? error.code : "";
  if (code === ErrorCode.AuthorizationViolation || code === ErrorCode.AuthenticationExpired) {
    return denied(address);
  }
  const reason = printableLine(wordsOf(error)); // perhaps in the words of whoever listens there
  return new TransientError(
    `could not connect to a NATS server at ${address} (${reason}); is it running, and is the address right?`,
  );
}

class NatsTransport implements Transport {
  readonly maxPayload: number;
  readonly closed: Promise<Error | undefined>;
  readonly #connection: NatsConnection;
  readonly #buffers = new Buffers(SPARE);
  #connected = true;
  #denied: Error | undefined;

  constructor(connection: NatsConnection) {
    this.#connection = connection;
    this.maxPayload = connection.info?.max_payload ?? 1024 * 1024;
    this.closed = connection.closed().then((error) => this.#denied ?? (error || undefined));
    this.#watch();
  }

  get isConnected(): boolean {
    return this.#connected;
  }

  publish(subject: string, data: Uint8Array): void {
    if (this.#drops) return;
    if (this.#goesPastClient(data)) this.#sendPastClient(subject, compositionOf(data));
    else this.#connection.publish(subject, data);
  }

  compose(subject: string, message: Composition): void {
    if (this.#drops) return;
    if (this.#goesPastClient(message)) this.#sendPastClient(subject, message);
    else this.#connection.publish(subject, bytesOf(message));
  }

  /** The client refuses what is larger than the server takes. */
  #goesPastClient({ length }: { length: number }): boolean {
    return length > LARGE && length <= this.maxPayload;
  }

  #sendPastClient(subject: string, message: Composition): void {
    const { length } = message;
    const head = encoder.encode(`PUB ${subject} ${length}\r\n`), end = head.length + length;
    const bytes = this.#buffers.take(end + LINE_BREAK.length);
    bytes.set(head);
    message.write(bytes.subarray(head.length, end));
    bytes.set(LINE_BREAK, end);
    const { protocol } = this.#connection as NatsConnectionImpl;
    protocol["flushPending"](); // private; what was published before goes first
    // the client's own socket, with TLS, says nothing then: its messages' memory is not used again
    (protocol.transport as NatsSocket).send(bytes, () => this.#buffers.give(bytes));
  }

  /** Whether what is sent is lost: the client would keep it without bound while the server is away. Everything sent here is repeatable. */
  get #drops(): boolean {
    return !this.#connected || this.#connection.isClosed();
  }

  async request(subject: string, data: Uint8Array, timeoutSeconds: number): Promise<Answer> {
    const timeout = timeoutSeconds * 1000;
    if (this.#connection.isClosed()) return "silence";
    if (!this.#connected) {
      await new Promise((resolve) => setTimeout(resolve, timeout));
      return "silence";
    }
    try {
      return (await this.#connection.request(subject, data, { timeout })).data;
    } catch (error) {
      return error instanceof NatsError && error.code === ErrorCode.NoResponders ? "nobody" : "silence";
    }
  }

  subscribe(subject: string, receive: (message: Message) => void): () => void {
    const subscription = this.#connection.subscribe(subject, {
      callback: (error, message) => {
        if (error) return; // a denied subscription, which #watch sees
        receive({
          subject: message.subject,
          data: message.data,
          respond: message.reply ? (data) => this.#connected && message.respond(data) : undefined,
        });
      },
    });
    return () => subscription.unsubscribe();
  }

  async flush(): Promise<void> {
    if (!this.#connected || this.#connection.isClosed()) return;
    await this.#connection.flush().catch(() => {}); // the connection was lost meanwhile: the messages are, too
  }

  async close(): Promise<void> {
    await this.flush();
    await this.#connection.close();
  }

  /** Follows the connection's state. A denied subject is only seen here, and nothing can work without it. */
  async #watch(): Promise<void> {
    for await (const status of this.#connection.status()) {
      if (status.type === Events.Disconnect) this.#connected = false;
      if (status.type === Events.Reconnect) this.#connected = true;
      if (status.type === Events.Error && status.data === ErrorCode.PermissionsViolation) {
        const { operation, subject } = status.permissionContext ?? {};
        this.#denied = new RunError(
          `the NATS server does not let this user ${operation} on "${subject}"; flashmob needs flashmob.> and _INBOX.>`,
        );
        await this.#connection.close();
      }
    }
  }
}

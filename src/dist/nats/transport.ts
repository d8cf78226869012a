/**
 * The message bus over NATS.
 *
 * @module
 */

import { ErrorCode, type NatsError } from "nats";
import type { NatsConnectionImpl } from "nats/lib/nats-base-client/internal_mod.js";
import { BufferPool } from "../vectors/buffer_pool.ts";
import { bytesOf, type Composition, compositionOf } from "../protocol/frames.ts";
import { type ConnectOptions, deniedSubject, NatsConnection } from "./connection.ts";
import type { NatsSocket } from "./socket.ts";
import type { Answer, Message, Transport } from "../protocol/transport.ts";

/** Larger messages bypass the client, which would copy them together with others. */
const LARGE = 64 * 1024;
/** Bytes of buffers that are kept for the next messages. */
const SPARE = 16 * 1024 * 1024;
const encoder = new TextEncoder();
const LINE_BREAK = encoder.encode("\r\n");

/**
 * Connects to a NATS server.
 *
 * @param url `nats://HOST:PORT`, `nats://TOKEN@HOST:PORT` or `nats://USER:PASSWORD@HOST:PORT`; `tls://` for a server with TLS
 * @param name shown in the server's list of connections
 * @throws {ConfigError} where the URL can't be parsed
 * @throws {RunError} where no NATS server answers there, or it rejects the credentials or a subject that flashmob needs
 * @throws the signal's reason
 *
 * @example
 * ```ts ignore
 * import { connectNats } from "./transport.ts";
 * const transport = await connectNats("nats://secret@127.0.0.1:4222", "worker-0");
 * ```
 */
export async function connectNats(url: string, name: string, options?: ConnectOptions): Promise<Transport> {
  return new NatsTransport(await NatsConnection.open(url, name, options));
}

class NatsTransport implements Transport {
  readonly maxPayload: number;
  readonly closed: Promise<Error | undefined>;
  readonly #client: NatsConnectionImpl;
  readonly #buffers = new BufferPool(SPARE);

  constructor(readonly connection: NatsConnection) {
    this.#client = connection.client;
    this.maxPayload = this.#client.info?.max_payload ?? 1024 * 1024;
    this.closed = connection.closed;
  }

  get isConnected(): boolean {
    return this.connection.isConnected;
  }

  get reconnectedAt(): number | undefined {
    return this.connection.reconnectedAt;
  }

  publish(subject: string, data: Uint8Array): void {
    if (this.#drops) return;
    if (this.#bypassesClient(data)) this.#sendBypassing(subject, compositionOf(data));
    else this.#client.publish(subject, data);
  }

  compose(subject: string, message: Composition): void {
    if (this.#drops) return;
    if (this.#bypassesClient(message)) this.#sendBypassing(subject, message);
    else this.#client.publish(subject, bytesOf(message));
  }

  /** Messages above the server's limit go to the client, which throws. */
  #bypassesClient({ length }: { length: number }): boolean {
    return length > LARGE && length <= this.maxPayload;
  }

  #sendBypassing(subject: string, message: Composition): void {
    const { length } = message;
    const head = encoder.encode(`PUB ${subject} ${length}\r\n`), end = head.length + length;
    const bytes = this.#buffers.take(end + LINE_BREAK.length);
    bytes.set(head);
    message.write(bytes.subarray(head.length, end));
    bytes.set(LINE_BREAK, end);
    const { protocol } = this.#client;
    protocol["flushPending"](); // private; sends what was published before
    (protocol.transport as NatsSocket).send(bytes, () => this.#buffers.give(bytes));
  }

  /** Whether messages are dropped: during an outage the client would queue them without bound. All messages are repeated by their senders. */
  get #drops(): boolean {
    return !this.isConnected || this.#client.isClosed();
  }

  async request(subject: string, data: Uint8Array, timeoutSeconds: number): Promise<Answer> {
    const timeout = timeoutSeconds * 1000;
    if (this.#client.isClosed()) return await this.#silenceAtEnd();
    if (!this.isConnected) {
      await new Promise((resolve) => setTimeout(resolve, timeout));
      return "silence";
    }
    try {
      return (await this.#client.request(subject, data, { timeout })).data;
    } catch (error) {
      const { code, permissionContext } = error as NatsError;
      if (code === ErrorCode.PermissionsViolation) {
        throw await this.connection.end(deniedSubject({ permissionContext }));
      }
      if (this.#client.isClosed()) return await this.#silenceAtEnd();
      return code === ErrorCode.NoResponders ? "nobody" : "silence";
    }
  }

  async #silenceAtEnd(): Promise<Answer> {
    const reason = await this.closed;
    if (reason) throw reason;
    return "silence";
  }

  subscribe(subject: string, receive: (message: Message) => void): () => void {
    const subscription = this.#client.subscribe(subject, {
      callback: (error, message) => {
        if (error) return; // a denied subscription, which ends the connection
        receive({
          subject: message.subject,
          data: message.data,
          respond: message.reply ? (data) => this.isConnected && message.respond(data) : undefined,
        });
      },
    });
    return () => subscription.unsubscribe();
  }

  flush(): Promise<void> {
    return this.connection.flush();
  }

  close(): Promise<void> {
    return this.connection.close();
  }
}

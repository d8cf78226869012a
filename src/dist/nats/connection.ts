/**
 * A connection to a NATS server with a timeout for each wait: to connect, to flush, to close, and for a server that is
 * unreachable.
 *
 * @module
 */

import {
  type ConnectionOptions,
  createInbox,
  ErrorCode,
  Events,
  type NatsConnection as Client,
  NatsError,
} from "nats";
import { NatsConnectionImpl, setTransportFactory } from "nats/lib/nats-base-client/internal_mod.js";
import { errorMessage, RunError, TransientError } from "../../errors.ts";
import { printableLine } from "../../printable.ts";
import { now, within } from "../protocol/timeouts.ts";
import { parseNatsAddress } from "./address.ts";
import { CONNECT_SECONDS, NatsSocket, type SocketOptions } from "./socket.ts";

/** Seconds after which a line says that the connection is still being made. */
const PROGRESS_SECONDS = 3;
/** Seconds for which a server may be unreachable. */
const OUTAGE_SECONDS = 600;
/** Seconds that the server has to confirm a flush. */
const FLUSH_SECONDS = 5;
/** Milliseconds between two attempts to reconnect. */
const RECONNECT_WAIT = 250;
/** Milliseconds between two pings; after the third without an answer the connection counts as lost. */
const PING_INTERVAL = 10_000;
/** Permissions that a user needs. */
const SUBJECTS = "flashmob needs flashmob.> and _INBOX.>";

/** Options of a connection. */
export interface ConnectOptions {
  /** Ends the attempt. */
  signal?: AbortSignal;
  /** Receives a line where connecting takes long. */
  onStatus?: (text: string) => void;
  /** Seconds for which the server may be unreachable before the connection ends; ten minutes by default. */
  outageSeconds?: number;
}

setTransportFactory({ factory: () => new NatsSocket() });

/** A connection that is restored whenever it is lost. */
export class NatsConnection {
  /** Settles when it has ended, with the reason where it was not closed. */
  readonly closed: Promise<Error | undefined>;
  #isConnected = true;
  #reconnectedAt: number | undefined;
  #reason: Error | undefined;
  #outage: ReturnType<typeof setTimeout> | undefined;

  private constructor(
    readonly client: NatsConnectionImpl,
    readonly address: string,
    readonly outageSeconds: number,
  ) {
    this.closed = client.closed().then((error) => {
      this.#isConnected = false;
      clearTimeout(this.#outage);
      return this.#reason ?? (error ? connectError(error, address) : undefined);
    });
    this.#watch();
  }

  /**
   * Connects to a server.
   *
   * @param url `nats://HOST:PORT`, `nats://TOKEN@HOST:PORT` or `nats://USER:PASSWORD@HOST:PORT`; `tls://` for a server with TLS
   * @param name shown in the server's list of connections
   * @throws {ConfigError} where the URL can't be parsed
   * @throws {RunError} where no NATS server answers there, or it rejects the credentials or a subject that flashmob needs
   * @throws the signal's reason
   */
  static async open(url: string, name: string, options: ConnectOptions = {}): Promise<NatsConnection> {
    const { signal, onStatus, outageSeconds = OUTAGE_SECONDS } = options;
    const { hostname, port, tls, token, user, pass } = parseNatsAddress(url);
    const address = `${hostname}:${port}`;
    const slow = setTimeout(
      () =>
        onStatus?.(
          `connecting to the NATS server at ${address} takes long; it is given up after ${CONNECT_SECONDS} s`,
        ),
      1000 * PROGRESS_SECONDS,
    );
    const failed = Promise.withResolvers<never>();
    const abort = () => failed.reject(signal!.reason);
    signal?.addEventListener("abort", abort);
    const settings: ConnectionOptions & SocketOptions = {
      name,
      servers: address,
      ...(token ? { token } : {}),
      ...(user ? { user, pass } : {}),
      ...(tls ? { tls: {} } : {}),
      timeout: 1000 * (CONNECT_SECONDS + 1), // the socket's timeout comes first: its error is more specific
      maxReconnectAttempts: -1,
      reconnectTimeWait: RECONNECT_WAIT,
      pingInterval: PING_INTERVAL,
      signal, // the client passes its settings to the socket
      onEnd: failed.reject,
    };
    try {
      signal?.throwIfAborted();
      const client = await unless(failed.promise, NatsConnectionImpl.connect(settings));
      const connection = new NatsConnection(client as NatsConnectionImpl, address, outageSeconds);
      await connection.#tryInbox();
      return connection;
    } catch (error) {
      signal?.throwIfAborted();
      throw connectError(error, address);
    } finally {
      clearTimeout(slow);
      signal?.removeEventListener("abort", abort);
    }
  }

  /** False while the connection is lost, and when it has ended. */
  get isConnected(): boolean {
    return this.#isConnected;
  }

  /** When it was last restored, in seconds; undefined where it was never lost. */
  get reconnectedAt(): number | undefined {
    return this.#reconnectedAt;
  }

  /** Waits until the server has what was sent, with a timeout; returns at once while the connection is lost. */
  async flush(): Promise<void> {
    if (!this.#isConnected || this.client.isClosed()) return;
    const lost = () => {}; // the connection, with what was sent
    await within(FLUSH_SECONDS, Promise.race([this.client.flush().catch(lost), this.closed]));
  }

  /** Flushes and ends it. */
  async close(): Promise<void> {
    await this.flush();
    await this.client.close();
  }

  /** Ends it with a reason, and returns the first reason that was given. */
  async end(reason: Error): Promise<Error> {
    this.#reason ??= reason;
    await this.client.close();
    return this.#reason;
  }

  /** Replies come to an inbox: a user who may not subscribe to it would wait for them in vain. */
  async #tryInbox(): Promise<void> {
    let refusal: Error | null = null;
    const subscription = this.client.subscribe(createInbox(), { callback: (error) => refusal = error });
    await this.flush();
    if (refusal) throw await this.end(deniedSubject(refusal));
    subscription.unsubscribe();
  }

  /** Follows the connection's state. Only here is a denied subject reported, which ends the connection. */
  async #watch(): Promise<void> {
    for await (const status of this.client.status()) {
      if (status.type === Events.Disconnect) this.#noteLost();
      if (status.type === Events.Reconnect) this.#noteRestored();
      if (status.type === Events.Error && status.data === ErrorCode.PermissionsViolation) {
        await this.end(deniedSubject(status));
      }
    }
  }

  #noteLost(): void {
    this.#isConnected = false;
    clearTimeout(this.#outage);
    this.#outage = setTimeout(
      () =>
        this.end(
          new TransientError(
            `the NATS server at ${this.address} has been unreachable for ${this.outageSeconds} s`,
          ),
        ),
      1000 * this.outageSeconds,
    );
  }

  #noteRestored(): void {
    clearTimeout(this.#outage);
    this.#isConnected = true;
    this.#reconnectedAt = now();
  }
}

/** The connection, unless another promise fails first: then it is closed when it comes. */
async function unless(failed: Promise<never>, connecting: Promise<Client>): Promise<Client> {
  try {
    return await Promise.race([connecting, failed]);
  } catch (error) {
    connecting.then((late) => late.close(), () => {});
    throw error;
  }
}

/** The error for a subject that the server denies the user. */
export function deniedSubject(
  { permissionContext }: { permissionContext?: { operation: string; subject: string } },
): RunError {
  const { operation, subject } = permissionContext ?? { operation: "publish", subject: "" };
  const what = operation === "subscription" ? "subscribe to" : "publish on";
  return new RunError(`the NATS server does not let this user ${what} "${subject}"; ${SUBJECTS}`);
}

/** The error for a connection that failed: what was tried and what to do, without the credentials. */
function connectError(error: unknown, address: string): Error {
  if (error instanceof RunError) return error;
  const code = error instanceof NatsError ? error.code : "";
  if (code === ErrorCode.AuthorizationViolation || code === ErrorCode.AuthenticationExpired) {
    return new RunError(
      `the NATS server at ${address} does not accept the token or password in the address; ` +
        "copy the whole address that the coordinator printed",
    );
  }
  const reason = code === ErrorCode.Timeout
    ? "the server does not answer"
    : printableLine(errorMessage(error));
  return new TransientError(
    `could not connect to a NATS server at ${address} (${reason}); is it running, and is the address right?`,
  );
}

/**
 * Which connections to our own NATS server are closed by their client: the server publishes an event for each in its system account.
 *
 * @module
 */

import { parseJson } from "../../json.ts";
import { type ConnectOptions, NatsConnection } from "./connection.ts";

/** Subject of the event that a connection of any account has closed. */
export const CLOSED_EVENTS = "$SYS.ACCOUNT.*.DISCONNECT";
/**
 * The server's reasons where the other end has closed it, as the kernel does for a process that dies. A connection that the server
 * closes, since its client does not answer or does not take what is sent, may belong to a process that lives and comes back.
 */
const CLOSED_BY_CLIENT: ReadonlySet<unknown> = new Set(["Client Closed", "Read Error", "Write Error"]);

/** What is read of an event. */
interface ClosedEvent {
  client?: { name?: unknown };
  reason?: unknown;
}

/**
 * Calls back with the name of each connection that its client closes, until it is disposed of. Events that fall into an outage of
 * the server are lost.
 *
 * @param url the server's `eventsUrl`
 * @throws {RunError} where the server can't be reached
 *
 * @example
 * ```ts ignore
 * await using watch = await watchConnections(server.eventsUrl, (name) => console.log(`${name} is gone`));
 * ```
 */
export async function watchConnections(
  url: string,
  onClosed: (name: string) => void,
  options?: ConnectOptions,
): Promise<AsyncDisposable> {
  const connection = await NatsConnection.open(url, "connection events", options);
  connection.client.subscribe(CLOSED_EVENTS, {
    callback: (_, { data }) => {
      const name = nameOf(data);
      if (name !== undefined) onClosed(name);
    },
  });
  await connection.flush();
  return { [Symbol.asyncDispose]: () => connection.close() };
}

/** The name of a connection that its client has closed; undefined in any other event. */
function nameOf(data: Uint8Array): string | undefined {
  const { client, reason } = parseJson(new TextDecoder().decode(data)) as ClosedEvent;
  return CLOSED_BY_CLIENT.has(reason) && typeof client?.name === "string" ? client.name : undefined;
}

/**
 * The lease of a run in JetStream's key-value store: taken by compare-and-set, so that of two coordinators that start at
 * once one is rejected. Its revision rises with each, and the coordinator's term with it: frames of an earlier term are dropped, which
 * makes it a fencing token (Kleppmann, "How to do distributed locking", 2016).
 *
 * @module
 */

import { type KV, NatsError } from "nats";
import { RunError } from "../../errors.ts";
import { now } from "../protocol/timeouts.ts";
import type { Lease } from "../protocol/lease.ts";
import { NatsConnection } from "./connection.ts";

/** Bucket of all runs' leases; a key is the name of a run. */
const BUCKET = "flashmob";
/** JetStream's error code where a key has another revision than the expected one. */
const WRONG_REVISION = 10071;
/** JetStream's error code where the bucket does not exist. */
const NO_STORE = 10059;
/** Seconds without an answer of the store, while its server is connected, after which it counts as lost. */
const STORE_SECONDS = 60;

/**
 * Takes the lease of a run over a connection of its own: where the server denies JetStream to this user, only this connection
 * is closed.
 *
 * @param url as for {@linkcode connectNats}
 * @returns undefined where the server has no JetStream, or not for this user
 * @throws {RunError} where another coordinator takes it at the same moment, or the server can't be reached
 *
 * @example
 * ```ts ignore
 * await using lease = await takeNatsLease(url, "demo");
 * console.log(lease === undefined || await lease.isHeld());
 * ```
 */
export async function takeNatsLease(
  url: string,
  run: string,
): Promise<(Lease & AsyncDisposable) | undefined> {
  const connection = await NatsConnection.open(url, "lease");
  try {
    const store = await connection.client.jetstream().views.kv(BUCKET);
    const revision = (await store.get(run))?.revision ?? 0;
    const holder = crypto.randomUUID();
    await replace(store, run, holder, revision);
    let silentSince: number | undefined;
    return {
      revision,
      isHeld: async () => {
        const { isConnected, reconnectedAt = -Infinity } = connection;
        if (!isConnected) throw new Error("the NATS server is unreachable");
        try {
          const isHeld = await isHolder(store, connection, run, holder);
          silentSince = undefined;
          return isHeld;
        } catch (error) {
          silentSince ??= now();
          const waited = now() - Math.max(silentSince, reconnectedAt);
          if (waited >= STORE_SECONDS) return true; // as without a store
          throw error;
        }
      },
      [Symbol.asyncDispose]: () => connection.close(),
    };
  } catch (error) {
    await connection.close();
    if (error instanceof RunError) throw error;
    if (error instanceof NatsError) return undefined; // no JetStream
    throw error;
  }
}

/** Whether no other coordinator has taken the lease. A server that has lost its store has lost the lease, too: none has it. */
async function isHolder(
  store: KV,
  { client }: NatsConnection,
  run: string,
  holder: string,
): Promise<boolean> {
  try {
    const entry = await store.get(run);
    return entry === null || entry.string() === holder;
  } catch (error) {
    // The error of reading does not tell a missing store from one that is not ready yet.
    const manager = await client.jetstreamManager({ checkAPI: false });
    const known = await manager.streams.info(`KV_${BUCKET}`).catch((reason) => reason);
    if (known instanceof NatsError && known.api_error?.err_code === NO_STORE) return true;
    throw error;
  }
}

/** Writes the holder if the last revision is the given one. */
async function replace(store: KV, run: string, holder: string, revision: number): Promise<void> {
  try {
    await store.put(run, holder, { previousSeq: revision });
  } catch (error) {
    if (!(error instanceof NatsError) || error.api_error?.err_code !== WRONG_REVISION) throw error;
    throw new RunError(
      `another coordinator has just taken the lease of the run "${run}"; leave the run to that one`,
    );
  }
}

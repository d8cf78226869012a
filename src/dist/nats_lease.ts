/**
 * The lease of a run in JetStream's key-value store: taken by compare-and-set, so that of two coordinators that start at
 * once one is turned away.
 *
 * @module
 */

import { type KV, NatsError } from "nats";
import { RunError } from "../errors.ts";
import type { Lease } from "./lease.ts";
import { openConnection } from "./nats_transport.ts";

/** The store of all runs' leases; a key is the name of a run. */
const BUCKET = "flashmob";
/** JetStream's error where a key has another revision than the one expected. */
const WRONG_REVISION = 10071;

/**
 * Takes the lease of a run. It has a connection of its own: where the server does not let this user use JetStream, only
 * this one is affected.
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
  const connection = await openConnection(url, "lease");
  try {
    const store = await connection.jetstream().views.kv(BUCKET);
    const revision = (await store.get(run))?.revision ?? 0;
    const own = await replace(store, run, revision);
    return {
      revision,
      isHeld: async () => (await store.get(run))?.revision === own,
      [Symbol.asyncDispose]: () => connection.close(),
    };
  } catch (error) {
    await connection.close();
    if (error instanceof RunError) throw error;
    if (error instanceof NatsError) return undefined; // no JetStream
    throw error;
  }
}

/** Writes a new revision where the last one is the one given. */
async function replace(store: KV, run: string, revision: number): Promise<number> {
  try {
    return await store.put(run, "", { previousSeq: revision });
  } catch (error) {
    if (!(error instanceof NatsError) || error.api_error?.err_code !== WRONG_REVISION) throw error;
    throw new RunError(`another coordinator has just begun to serve the run "${run}"; leave it to that one`);
  }
}

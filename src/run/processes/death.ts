/**
 * The launcher's word that a child has ended, to the coordinator of its run, which then waits for it no longer.
 *
 * @module
 */

import { setTimeout as pause } from "node:timers/promises";
import { connectNats, reportEnded } from "../../dist/mod.ts";
import { reducerName } from "../participants/reducer.ts";
import type { ChildOrder } from "./protocol.ts";

/** Milliseconds after which telling is given up: by then the coordinator has noticed by itself. */
const PATIENCE = 5000;

/** The order to a new process, which has a nonce of its own. */
export function withNonce(order: ChildOrder): ChildOrder {
  const nonce = crypto.randomUUID();
  switch (order.role) {
    case "coordinator":
      return order;
    case "worker":
      return { ...order, options: { ...order.options, nonce } };
    case "reducer":
      return { ...order, options: { ...order.options, nonce } };
  }
}

/** Tells the coordinator that the process with this order has ended; where that fails, the coordinator has to notice by itself. */
export async function reportDeath(order: ChildOrder): Promise<void> {
  if (order.role === "coordinator" || order.options.nonce === undefined) return;
  const { url, run, nonce } = order.options;
  const member = order.role === "worker" ? order.options.member : reducerName(order.options.machine, nonce);
  const told = new AbortController();
  const telling = tell(url, { run, member, nonce }).catch(() => {}); // no server or no coordinator to be told
  const late = pause(PATIENCE, undefined, { signal: told.signal }).catch(() => {});
  await Promise.race([telling, late]);
  told.abort();
}

async function tell(url: string, ended: Parameters<typeof reportEnded>[1]): Promise<void> {
  const transport = await connectNats(url, "launcher", { signal: AbortSignal.timeout(PATIENCE) });
  try {
    await reportEnded(transport, ended);
  } finally {
    await transport.close();
  }
}

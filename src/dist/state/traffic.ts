/**
 * What workers have sent and received. Each counts for itself and reports it with its heartbeats, so that the traffic of a worker
 * that is lost, or leaves, counts, too. Pure functions.
 *
 * @module
 */

import type { StepTraffic, Traffic } from "../protocol/messages.ts";
import { withEntry } from "./persistent_map.ts";
import type { RunState } from "./run_state.ts";

/** The state with a worker's latest traffic counters; a worker that joins again continues to count. */
export function withTraffic(state: RunState, name: string, traffic: Traffic): RunState {
  const worker = state.members.get(name) ?? state.candidates.get(name);
  if (!worker) return state;
  const { nonce } = worker;
  const told = state.toldTraffic;
  return {
    ...state,
    traffic: withEntry(state.traffic, nonce, traffic),
    toldTraffic: told.has(nonce) ? told : withEntry(told, nonce, traffic),
  };
}

/** Of a worker that has just started. */
export const NO_TRAFFIC: Traffic = {
  bytesSent: 0,
  bytesReceived: 0,
  stateBytes: 0,
  staleOrders: 0,
  malformedOrders: 0,
  spent: { computing: 0, exchanging: 0, waiting: 0 },
  memory: 0,
};

/** The state with a reducer's count of malformed orders. Its bytes are those of the workers, seen from the other end. */
export function withMalformed(state: RunState, reducer: string, malformedOrders = 0): RunState {
  if (malformedOrders === 0) return state;
  const traffic: Traffic = { ...NO_TRAFFIC, malformedOrders };
  return { ...state, traffic: new Map(state.traffic).set(reducer, traffic) };
}

/** Traffic of all workers that ever took part. */
export function totalTraffic({ traffic }: RunState): Omit<Traffic, "spent" | "memory"> {
  const all = [...traffic.values()];
  return {
    ...payloadOf(all),
    stateBytes: sumOf(all, ({ stateBytes }) => stateBytes),
    staleOrders: sumOf(all, ({ staleOrders }) => staleOrders),
    malformedOrders: sumOf(all, ({ malformedOrders }) => malformedOrders),
  };
}

/** Total over all reducers. */
export function payloadOf(all: readonly StepTraffic[]): StepTraffic {
  return {
    bytesSent: sumOf(all, ({ bytesSent }) => bytesSent),
    bytesReceived: sumOf(all, ({ bytesReceived }) => bytesReceived),
  };
}

function sumOf<T>(all: readonly T[], count: (each: T) => number): number {
  return all.reduce((total, each) => total + count(each), 0);
}

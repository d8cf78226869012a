/**
 * What workers have sent and received. Each counts for itself and tells it with its signs of life, so that what one that is
 * lost, or leaves, has done counts, too. Pure functions.
 *
 * @module
 */

import type { StepTraffic, Traffic } from "../protocol/messages.ts";
import type { RunState } from "./run_state.ts";

/** The state with the latest that a worker has told of its traffic: a worker that joins again counts on. */
export function withTraffic(state: RunState, name: string, traffic: Traffic): RunState {
  const worker = state.members.get(name) ?? state.candidates.get(name);
  return worker ? { ...state, traffic: new Map(state.traffic).set(worker.nonce, traffic) } : state;
}

/** The state with the number of malformed orders that a reducer has told of: its bytes are those of the workers, seen from the other end. */
export function withMalformed(state: RunState, reducer: string, malformedOrders = 0): RunState {
  if (malformedOrders === 0) return state;
  const traffic = { bytesSent: 0, bytesReceived: 0, stateBytes: 0, staleOrders: 0, malformedOrders };
  return { ...state, traffic: new Map(state.traffic).set(reducer, traffic) };
}

/** Of all workers that there were. */
export function totalTraffic({ traffic }: RunState): Traffic {
  const all = [...traffic.values()];
  return {
    ...payloadOf(all),
    stateBytes: sumOf(all, ({ stateBytes }) => stateBytes),
    staleOrders: sumOf(all, ({ staleOrders }) => staleOrders),
    malformedOrders: sumOf(all, ({ malformedOrders }) => malformedOrders),
  };
}

/** Of all together. */
export function payloadOf(all: readonly StepTraffic[]): StepTraffic {
  return {
    bytesSent: sumOf(all, ({ bytesSent }) => bytesSent),
    bytesReceived: sumOf(all, ({ bytesReceived }) => bytesReceived),
  };
}

function sumOf<T>(all: readonly T[], count: (each: T) => number): number {
  return all.reduce((total, each) => total + count(each), 0);
}

/**
 * What workers have sent and received. Each counts for itself and tells it with its signs of life, so that what one that is
 * lost, or leaves, has done counts, too. Pure functions.
 *
 * @module
 */

import type { Traffic } from "./messages.ts";
import type { RunState } from "./run_state.ts";

/** The state with the latest that a worker has told of its traffic: a worker that joins again counts on. */
export function withTraffic(state: RunState, name: string, traffic: Traffic): RunState {
  const worker = state.members.get(name) ?? state.candidates.get(name);
  return worker ? { ...state, traffic: new Map(state.traffic).set(worker.nonce, traffic) } : state;
}

/** Of all workers that there were. */
export function totalTraffic({ traffic }: RunState): Traffic {
  const sum = (count: (each: Traffic) => number) =>
    [...traffic.values()].reduce((total, each) => total + count(each), 0);
  return {
    bytesSent: sum(({ bytesSent }) => bytesSent),
    bytesReceived: sum(({ bytesReceived }) => bytesReceived),
    stateBytes: sum(({ stateBytes }) => stateBytes),
    staleOrders: sum(({ staleOrders }) => staleOrders),
  };
}

/**
 * The coordinator's frames, answers and orders, as functions of the state of the run.
 *
 * @module
 */

import { encodeFrame, type Frame, type FrameFields } from "../protocol/frames.ts";
import { encodeControl, type ExchangeSizes } from "../protocol/messages.ts";
import { isReducing, workOf } from "../steps/reducer_set.ts";
import { isAwaited, type Order, orderFor, orderForAll, orderForCandidate } from "../state/orders.ts";
import type { RunState } from "../state/run_state.ts";
import { COORDINATOR } from "../protocol/transport.ts";

/** The fields that all frames of a coordinator have. */
export function fieldsOf<K extends Frame["kind"]>(state: RunState, kind: K): FrameFields & { kind: K } {
  const { plan: { run }, term, generation, step } = state;
  return { kind, run, sender: COORDINATOR, term, generation, step };
}

/** An answer without an order: the coordinator is alive. */
export function encodeAlive(state: RunState): Uint8Array {
  return encodeFrame(fieldsOf(state, "alive"));
}

/** An order, as a frame. */
export function encodeOrder(state: RunState, { kind, step, message }: Order): Uint8Array {
  return encodeControl({ ...fieldsOf(state, kind), step }, message);
}

/** The answer to a worker whose join was accepted. */
export function encodeWelcome(state: RunState, name: string, partElements: number): Uint8Array {
  const { microBatches: evaluationMicroBatches } = state.plan.evaluation;
  const admitted = state.members.has(name);
  const isNear = (state.members.get(name) ?? state.candidates.get(name))?.isNear ?? false;
  const message = { admitted, isNear, evaluationMicroBatches, ...sizesOf(state, partElements) };
  return encodeControl(fieldsOf(state, "welcome"), message);
}

/** The order to a reducer; undefined for an unknown reducer, and when the run has ended. */
export function encodeReduce(
  state: RunState,
  name: string,
  partElements: number,
  now: number,
): Uint8Array | undefined {
  const reducer = state.reducers.get(name);
  if (!reducer || state.stage.kind === "ended") return undefined;
  const silent = [...state.members].map(([member, { heardAt }]) => [member, now - heardAt]);
  return encodeControl(fieldsOf(state, "reduce"), {
    joinedGeneration: reducer.joinedGeneration,
    startStep: startStepOf(state),
    isNear: reducer.isNear,
    silent: Object.fromEntries(silent),
    work: isReducing(state, name) ? workOf(state) : undefined,
    ...sizesOf(state, partElements),
  });
}

function sizesOf({ plan }: RunState, partElements: number): ExchangeSizes {
  const { microBatches, codec, windowBytes, heartbeatSeconds, silenceSeconds } = plan;
  return { microBatches, partElements, codec, windowBytes, heartbeatSeconds, silenceSeconds };
}

/** The answer to a request that is no join. */
export function answerTo(
  state: RunState,
  { kind, sender }: Frame,
  partElements: number,
  now: number,
): Uint8Array {
  if (kind === "status") return pendingFor(state, sender);
  if (kind === "reducer" && state.stage.kind === "ended") return encodeOrder(state, orderForAll(state)!);
  if (kind === "reducer") return encodeReduce(state, sender, partElements, now) ?? encodeAlive(state);
  if (kind !== "hello" || state.stage.kind === "gathering") return encodeAlive(state);
  const { config, configHash, id, origin } = state.plan;
  return encodeControl(fieldsOf(state, "run"), {
    config,
    configHash,
    id,
    origin,
    startStep: startStepOf(state),
  });
}

/** The step that the run starts after; once it has begun, newcomers get the present state by state transfer. */
function startStepOf({ generation, step }: RunState): number {
  return generation === 0 ? step : 0;
}

/** The order that a worker still has to carry out, or that it is no member. */
function pendingFor(state: RunState, name: string): Uint8Array {
  const member = state.members.get(name);
  const candidate = state.candidates.get(name);
  if (!member && !candidate) return encodeFrame(fieldsOf(state, "out"));
  const order = candidate
    ? orderForCandidate(state, candidate)
    : member && isAwaited(state, member)
    ? orderFor(state, name)
    : undefined;
  return order ? encodeOrder(state, order) : encodeAlive(state);
}

/**
 * Carries out the coordinator's actions: answers, orders, collects and reports. `state_machine.ts` has made the decisions.
 *
 * @module
 */

import type { ResidualKeeper } from "../allreduce/residuals.ts";
import type { ReduceSide } from "../allreduce/reduce_side.ts";
import type { CoordinatorFaultPoint } from "../protocol/fault_points.ts";
import type { Frame } from "../protocol/frames.ts";
import { encodeControl } from "../protocol/messages.ts";
import { now } from "../protocol/timeouts.ts";
import { COORDINATOR, type Message, subjects, type Transport } from "../protocol/transport.ts";
import { keepOrder, type Order, orderFor, orderForAll, orderForCandidate } from "../state/orders.ts";
import type { Action, RunState } from "../state/run_state.ts";
import { workOf } from "../steps/reducer_set.ts";
import type { CheckpointExchange } from "../transfer/checkpoint_exchange.ts";
import type { CoordinateOptions } from "./options.ts";
import { encodeAlive, encodeOrder, encodeReduce, encodeWelcome, fieldsOf } from "./replies.ts";

/** The fault points after orders to all. */
const FAULT_POINTS: Partial<Record<Frame["kind"], CoordinatorFaultPoint>> = {
  commit: "after-commit",
  save: "saving",
  pin: "pinning",
};

/** What actions need. */
export interface Means {
  /** To members, candidates and reducers. */
  readonly transport: Transport;
  /** Values per part of a vector. */
  readonly partElements: number;
  /** Sums and means, where the coordinator is the reducer. */
  readonly vectors: ReduceSide;
  /** Error feedback of the mean's encoding. */
  readonly residuals: ResidualKeeper;
  /** The checkpoints of members on other machines. */
  readonly checkpoints: CheckpointExchange;
  /** The caller's callbacks. */
  readonly options: CoordinateOptions;
  /** The present state: an earlier action may have changed it. */
  readonly state: () => RunState;
  /** Looks up the record up to a step, and continues from it. */
  readonly recall: (step: number) => void;
  /** No process is left: the coordination ends. */
  readonly end: () => void;
}

/** Carries out one action after the other. */
export class Actions {
  /** With these means. */
  constructor(readonly means: Means) {}

  /**
   * Carries out one action.
   *
   * @param message the request that it may answer
   */
  perform(action: Action, message?: Message): void {
    const { vectors, checkpoints, options, partElements } = this.means;
    const state = this.means.state();
    switch (action.do) {
      case "welcome":
        return message?.respond?.(encodeWelcome(state, action.member, partElements));
      case "refuse": {
        const { do: _, ...refusal } = action;
        return message?.respond?.(encodeControl(fieldsOf(state, "refuse"), refusal));
      }
      case "postpone":
        return message?.respond?.(encodeAlive(state));
      case "recall":
        return this.means.recall(action.step);
      case "announce":
        return this.#announce(state);
      case "tell": {
        const candidate = state.candidates.get(action.candidate);
        return this.#order(state, action.candidate, candidate && orderForCandidate(state, candidate));
      }
      case "collect":
        return checkpoints.collect(action);
      case "keep":
        return this.#order(state, state.writing!.member, keepOrder(state));
      case "reduce":
        return this.#reduce(state);
      case "reconfigure":
        return vectors.reconfigure(action.sums, state.members.keys(), now());
      case "report":
        return options.onEvent?.(action.event);
      case "end":
        return this.means.end();
    }
  }

  /** Tells the members the order of the stage: all the same, or each its own share. */
  #announce(state: RunState): void {
    const { stage, step } = state;
    if (stage.kind === "computing" && stage.owners.includes(COORDINATOR)) {
      this.means.residuals.open(step + 1, stage.members);
    }
    const order = orderForAll(state);
    if (order) return this.#announceToAll(state, order);
    for (const name of state.members.keys()) this.#order(state, name, orderFor(state, name));
    if (stage.kind === "evaluating") this.means.options.onFaultPoint?.("evaluating", step);
  }

  /** Publishes an order that is the same for all, and saves residuals with it. */
  #announceToAll(state: RunState, order: Order): void {
    const { transport, residuals, options: { onFaultPoint } } = this.means;
    const { step, reducers, plan: { run } } = state;
    const isToKeep = order.kind === "save" && order.step === step; // later the residuals are those of another step
    if (isToKeep) residuals.save(step, order.message.members);
    if (order.kind === "commit") onFaultPoint?.("before-commit", order.step);
    const frame = encodeOrder(state, order);
    transport.publish(subjects.all(run), frame);
    const isForReducers = isToKeep || order.kind === "finish";
    for (const name of isForReducers ? reducers.keys() : []) transport.publish(subjects.to(run, name), frame);
    const point = FAULT_POINTS[order.kind];
    if (point) onFaultPoint?.(point, order.step);
  }

  #reduce(state: RunState): void {
    const { transport, vectors, partElements } = this.means;
    const work = workOf(state);
    if (!work) return;
    for (const name of state.reducers.keys()) {
      const order = encodeReduce(state, name, partElements, now());
      if (order) transport.publish(subjects.to(state.plan.run, name), order);
    }
    vectors.reduce(work, now());
  }

  #order(state: RunState, name: string, order: Order | undefined): void {
    if (order) this.means.transport.publish(subjects.to(state.plan.run, name), encodeOrder(state, order));
  }
}

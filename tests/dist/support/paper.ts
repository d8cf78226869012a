/** A run on paper: the membership's pure function, with events at times that the test chooses. */

import { advance } from "../../../src/dist/coordinator/state_machine.ts";
import type { MembershipEvent } from "../../../src/dist/state/events.ts";
import type { Messages, StepTraffic } from "../../../src/dist/protocol/messages.ts";
import type { CoordinationPlan } from "../../../src/dist/replica/plan.ts";
import { type Action, initialState, type RunState } from "../../../src/dist/state/run_state.ts";
import { CONFIG_HASH, RUN_ID, toyIdentity, toyPlan } from "./toy.ts";
import { COORDINATOR } from "../../../src/dist/protocol/transport.ts";
import type { SaveResult } from "../../../src/dist/replica/replica.ts";
import type { MicroBatchReport } from "../../../src/dist/replica/accumulate.ts";

/** A run on paper: events at times that the test chooses. */
export class Paper {
  state: RunState;
  now = 0;
  readonly actions: Action[] = [];

  constructor(changes: Partial<CoordinationPlan> = {}) {
    this.state = initialState(toyPlan({ startWorkers: 2, microBatches: 4, ...changes }), 1);
  }

  /** Handles an event; returns what it led to. */
  do(event: MembershipEvent): Action[] {
    const { state, actions } = advance(this.state, event, this.now);
    this.state = state;
    this.actions.push(...actions);
    return actions;
  }

  join(member: string, changes: Partial<Messages["join"]> = {}, step = 0): Action[] {
    const request: Messages["join"] = {
      nonce: member,
      id: RUN_ID,
      identity: toyIdentity(10),
      configHash: CONFIG_HASH,
      stateHash: "state 0",
      atHome: true,
      device: "cpu",
      ...changes,
    };
    return this.do({ kind: "join", member, step, term: 0, generation: 0, isNear: false, request });
  }

  /** Heartbeats of all members, at the step that they have completed. */
  beat(step: number, phase = "ready", progress = 0): void {
    for (const member of this.state.members.keys()) {
      this.do({ kind: "status", member, step, status: { phase, progress } });
    }
  }

  offer(
    member: string,
    lo: number,
    hi: number,
    changes: Partial<MicroBatchReport> = {},
    seconds: number = hi - lo,
  ): Action[] {
    const report = (microBatch: number) => ({
      crc: microBatch,
      lossSum: 6,
      tokens: 3,
      finite: true,
      ...changes,
    });
    const reports = Array.from({ length: hi - lo }, (_, i) => report(lo + i));
    return this.do({ kind: "offer", member, step: this.state.step + 1, lo, hi, reports, seconds });
  }

  /** The coordinator has reduced all parts, alone. */
  averaged(norm = 1, traffic: StepTraffic = { bytesSent: 0, bytesReceived: 0 }): Action[] {
    const { generation } = this.state;
    const squares = [[0, [norm ** 2]]] as const;
    return this.do({ kind: "reduced", reducer: COORDINATOR, generation, squares, traffic });
  }

  /** One whole step of two workers. */
  step(): void {
    this.offer("a", 0, 2);
    this.offer("b", 2, 4);
    this.averaged();
    this.beat(this.state.step + 1);
  }

  /** Hashes of the members' states: the same for all but those named. */
  compare(others: Record<string, string> = {}): Action[] {
    const { step, members } = this.state;
    return [...members.keys()].flatMap((member) => {
      const hashes = { state: others[member] ?? "s", params: "p" };
      return this.do({ kind: "hashes", member, step, hashes });
    });
  }

  /** Compares, and copies the state of the present step for a checkpoint. */
  copy(): void {
    if (this.stage === "hashing") this.compare();
    const { step, stage } = this.state;
    if (stage.kind !== "saving") throw new Error(`no checkpoint is due, but ${stage.kind}`);
    this.do({ kind: "copied", member: stage.writer, step });
  }

  /** The checkpoint that is being written is done. */
  written(result: SaveResult = { place: "here" }): Action[] {
    const { member, step, by } = this.state.writing!;
    return this.do({ kind: by === "coordinator" ? "collected" : "saved", member, step, result });
  }

  get stage(): string {
    return this.state.stage.kind;
  }
}

/** Two workers that have begun. */
export function begun(changes: Partial<CoordinationPlan> = {}): Paper {
  const paper = new Paper(changes);
  paper.join("a");
  paper.join("b", { atHome: false });
  return paper;
}

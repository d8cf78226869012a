/**
 * What can happen to a run: what members send, and what the coordinator notices itself.
 *
 * @module
 */

import type { RunRecord } from "../replica/plan.ts";
import type { Messages, Received, StatusMessage, StepTraffic, Traffic } from "../protocol/messages.ts";
import type { SaveResult, StateHashes } from "../replica/replica.ts";
import type { MicroBatchReport } from "../replica/accumulate.ts";

/** An event. Where a `member` is named, it was heard of; it may have told its traffic. */
export type MembershipEvent =
  /** With the term and the generation that it last belonged to; 0 for one that comes for the first time. */
  | {
    kind: "join";
    member: string;
    step: number;
    term: number;
    generation: number;
    request: Messages["join"];
  }
  | { kind: "status"; member: string; step: number; status: StatusMessage; traffic?: Traffic }
  | {
    kind: "offer";
    member: string;
    step: number;
    lo: number;
    hi: number;
    reports: MicroBatchReport[];
    seconds: number;
  }
  | { kind: "heard"; member: string }
  | { kind: "evaluated"; member: string; step: number; losses: Messages["evaluated"]["losses"] }
  | { kind: "copied"; member: string; step: number }
  | { kind: "saved"; member: string; step: number; result: SaveResult }
  /** The coordinator has collected the checkpoint that a member elsewhere had copied its state for, or could not. */
  | { kind: "collected"; member: string; step: number; result: SaveResult }
  | { kind: "pinned"; member: string; step: number }
  | { kind: "restored"; member: string; step: number }
  | { kind: "hashes"; member: string; step: number; hashes: StateHashes; traffic?: Traffic }
  | { kind: "leave"; member: string; error?: string; traffic?: Traffic }
  /** Somebody lives who is no member, and had this term. */
  | { kind: "alive"; name: string; term: number }
  /** What is on record up to a step that a coordinator goes on after. */
  | { kind: "recalled"; step: number; record: RunRecord }
  /** Whether anybody listens at a member's place. */
  | { kind: "probed"; name: string; there: boolean }
  /** The coordinator has all parts of a sum of the open step. */
  | { kind: "pulled"; lo: number; hi: number }
  /** One who averages is there, with the term that it belonged to, and since when members have kept it waiting. */
  | {
    kind: "reducer";
    reducer: string;
    term: number;
    blockedSeconds: Readonly<Record<string, number>>;
    malformedOrders?: number;
  }
  /** All members have the parts of the mean of one who averages. */
  | {
    kind: "reduced";
    reducer: string;
    generation: number;
    squares: Iterable<readonly [part: number, squares: readonly number[]]>;
    traffic: StepTraffic;
  }
  | { kind: "interrupt" }
  /** Whoever has interrupted the run is impatient. */
  | { kind: "hurry" }
  /** The connection to the bus has ended, or the coordinator itself has failed. */
  | { kind: "failed"; error: string }
  /** The coordinator could not listen for a while, or has no connection: nobody's silence counts. */
  | { kind: "deaf"; isCutOff: boolean }
  /** Time goes by; since when each member has kept the coordinator waiting for a part or an acknowledgement. */
  | { kind: "tick"; blockedSince?: ReadonlyMap<string, number> };

/** What a frame from a member means; undefined where it has no meaning for the coordinator. */
export function eventOf(frame: Received): MembershipEvent | undefined {
  const { sender: member, step, term, generation, lo, hi } = frame;
  switch (frame.kind) {
    case "join":
      return { kind: "join", member, step, term, generation, request: frame.message };
    case "status": {
      const { traffic, ...status } = frame.message;
      return { kind: "status", member, step, status, traffic };
    }
    case "offer": {
      const { microBatches: reports, seconds } = frame.message;
      return { kind: "offer", member, step, lo, hi, reports, seconds };
    }
    case "evaluated":
      return { kind: "evaluated", member, step, losses: frame.message.losses };
    case "copied":
      return { kind: "copied", member, step };
    case "saved":
      return { kind: "saved", member, step, result: frame.message };
    case "pinned":
      return { kind: "pinned", member, step };
    case "restored":
      return { kind: "restored", member, step };
    case "hashes": {
      const { traffic, ...hashes } = frame.message;
      return { kind: "hashes", member, step, hashes, traffic };
    }
    case "leave":
      return { kind: "leave", member, ...frame.message };
    case "reducer":
      return { kind: "reducer", reducer: member, term, ...frame.message };
    case "reduced":
      return { kind: "reduced", reducer: member, generation, ...frame.message };
    case "sum":
    case "ack":
      return { kind: "heard", member };
  }
}

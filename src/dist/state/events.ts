/**
 * The events of a run: messages from members, and what the coordinator observes itself.
 *
 * @module
 */

import type { RunRecord } from "../replica/plan.ts";
import type { Messages, Received, StatusMessage, StepTraffic, Traffic } from "../protocol/messages.ts";
import type { SaveResult, StateHashes } from "../replica/replica.ts";
import type { SampleResult } from "../replica/samples.ts";
import type { MicroBatchReport } from "../replica/accumulate.ts";

/** An event. One that names a `member` is a heartbeat of it; it may carry its traffic counters. */
export type MembershipEvent =
  /** With the term and the generation that the worker last belonged to; 0 for its first join. */
  | {
    kind: "join";
    member: string;
    step: number;
    term: number;
    generation: number;
    /** Whether the coordinator can open its memory. */
    isNear: boolean;
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
  /** Messages with parts of vectors and acknowledgements have come: the last of each sender at this time, in seconds. */
  | { kind: "heard"; at: ReadonlyMap<string, number> }
  | { kind: "evaluated"; member: string; step: number; losses: Messages["evaluated"]["losses"] }
  | { kind: "sampled"; member: string; step: number; result: SampleResult }
  | { kind: "copied"; member: string; step: number }
  | { kind: "saved"; member: string; step: number; result: SaveResult }
  /** The coordinator has collected the checkpoint of a member on another machine, or failed to. */
  | { kind: "collected"; member: string; step: number; result: SaveResult }
  | { kind: "pinned"; member: string; step: number }
  | { kind: "restored"; member: string; step: number }
  | { kind: "hashes"; member: string; step: number; hashes: StateHashes; traffic?: Traffic }
  | { kind: "leave"; member: string; error?: string; traffic?: Traffic }
  /** A process that is no member is alive; it belonged to this term. */
  | { kind: "alive"; name: string; term: number }
  /** The record of the run up to the step that a new coordinator continues from. */
  | { kind: "recalled"; step: number; record: RunRecord }
  /** Whether a process listens on a member's subject; when that was asked, in seconds. */
  | { kind: "probed"; name: string; there: boolean; askedAt: number }
  /** The server says that a connection of this name has closed. */
  | { kind: "disconnected"; name: string }
  /** The launcher of a worker or a reducer says that the process has ended. */
  | { kind: "ended"; name: string; nonce: string }
  /** The coordinator has all parts of a sum of the open step. */
  | { kind: "pulled"; lo: number; hi: number }
  /** A reducer is alive, with the term that it belonged to, and for how long each member has kept it waiting. */
  | {
    kind: "reducer";
    reducer: string;
    term: number;
    /** Whether the coordinator can open its memory. */
    isNear: boolean;
    blockedSeconds: Readonly<Record<string, number>>;
    malformedOrders?: number;
  }
  /** All members have this reducer's parts of the mean. */
  | {
    kind: "reduced";
    reducer: string;
    generation: number;
    squares: Iterable<readonly [part: number, squares: readonly number[]]>;
    traffic: StepTraffic;
  }
  | { kind: "interrupt" }
  /** The run is to end quickly: a second interrupt. */
  | { kind: "hurry" }
  /** The connection to the bus has ended, or the coordinator itself has failed. */
  | { kind: "failed"; error: string }
  /** The coordinator was paused, or has no connection: silence in that time counts against no member. */
  | { kind: "deaf"; isCutOff: boolean }
  /** Time has passed; since when each member has kept the coordinator waiting for a part or an acknowledgement. */
  | { kind: "tick"; blockedSince?: ReadonlyMap<string, number> };

/**
 * The event of a frame from a member; undefined for other kinds.
 *
 * @param isNear whether the coordinator can open the sender's memory
 */
export function eventOf(frame: Received, isNear: boolean): MembershipEvent | undefined {
  const { sender: member, step, term, generation, lo, hi } = frame;
  switch (frame.kind) {
    case "join":
      return { kind: "join", member, step, term, generation, isNear, request: frame.message };
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
    case "sampled":
      return { kind: "sampled", member, step, result: frame.message };
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
    case "ended":
      return { kind: "ended", name: member, ...frame.message };
    case "reducer": {
      const { blockedSeconds, malformedOrders } = frame.message;
      return { kind: "reducer", reducer: member, term, isNear, blockedSeconds, malformedOrders };
    }
    case "reduced":
      return { kind: "reduced", reducer: member, generation, ...frame.message };
  }
}

/**
 * Who takes part in a run, as the coordinator sees them: members, candidates, reducers. Immutable values.
 *
 * @module
 */

import type { ReplicaIdentity } from "../replica/replica.ts";

/** What all members have in common, and a new one must match. */
export interface Credentials {
  /** Model, numerics and corpus. */
  identity: ReplicaIdentity;
  /** Hash of the run part of the configuration. */
  configHash: string;
  /** Hash of all state vectors at the present step. */
  stateHash: string;
}

/** A worker as the coordinator sees it. */
export interface Participant {
  /** Unique among members and candidates. */
  readonly name: string;
  /** Distinguishes it from another process of the same name. */
  readonly nonce: string;
  /** The generation in which it joined: messages from an earlier one are stale. */
  readonly joinedGeneration: number;
  /** Whether it is on the machine where the run was started, whose members write the checkpoints. */
  readonly atHome: boolean;
  /** Whether it shares memory with the coordinator's neighbours. */
  readonly isNear: boolean;
  /** What it computes with, for people. */
  readonly device: string;
  /** The last step that it has completed. */
  readonly step: number;
  /** Its last reported activity. */
  readonly phase: string;
  /** A counter that rises with everything it does. */
  readonly progress: number;
  /** When its last message came, in seconds. */
  readonly heardAt: number;
  /** When its phase or progress last changed, in seconds. */
  readonly progressAt: number;
  /** Micro-batches per second, once it was measured. */
  readonly speed?: number;
  /** Whether it has computed a sum, so that the next one shows its speed. */
  readonly isWarm?: boolean;
  /** Whether its speed is a guess, because it had nothing to compute for a while. */
  readonly isTrusted?: boolean;
  /** Whether it has asked to leave. */
  readonly isLeaving?: boolean;
  /** Since when no process listens on its subject, in seconds. */
  readonly goneSince?: number;
  /** When its connection closed, in seconds, until it is known whether it has another one. */
  readonly closedAt?: number;
  /** When its first message came after the coordinator had no connection, in seconds. */
  readonly returnedAt?: number;
}

/** A worker that was admitted. */
export type Member = Participant;

/** A worker that asked to join a run that has begun. It first gets the run's state by state transfer. */
export interface Candidate extends Participant {
  /** The member that has pinned its state for it, and at which step. */
  readonly source?: { readonly donor: string; readonly step: number };
  /** Whether it has restored that state, checked, and follows the steps since. */
  readonly ready: boolean;
  /** Boundaries between steps that it has since been too late for. */
  readonly misses: number;
}

/** A process that reduces a share of the parts of a vector. */
export interface Reducer {
  /** Unique to each process. */
  readonly name: string;
  /** The generation in which it was taken on: messages from an earlier one are stale. */
  readonly joinedGeneration: number;
  /** When its last message came, in seconds. */
  readonly heardAt: number;
  /** Whether it shares memory with the coordinator's neighbours. */
  readonly isNear: boolean;
  /** Since when each member has kept it waiting, in seconds. */
  readonly blockedSince: ReadonlyMap<string, number>;
  /** Since when no member keeps it waiting though it has not finished. */
  readonly idleSince?: number;
  /** Since when no process listens on its subject, in seconds. */
  readonly goneSince?: number;
  /** When its connection closed, in seconds, until it is known whether it has another one. */
  readonly closedAt?: number;
  /** When its first message came after the coordinator had no connection, in seconds. */
  readonly returnedAt?: number;
}

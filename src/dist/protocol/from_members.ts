/**
 * Messages of members, newcomers and reducers: to the coordinator, and to each other about a pinned state.
 *
 * @module
 */

import { z } from "zod";
import { layoutOf } from "../../layout.ts";
import type { MicroBatchLoss, MicroBatchReport } from "../replica/accumulate.ts";
import type { ReplicaIdentity, SaveResult } from "../replica/replica.ts";
import type { SampleResult } from "../replica/samples.ts";
import {
  anyNumber,
  hash,
  id,
  label,
  line,
  memory,
  name,
  seconds,
  stepTraffic,
  text,
  values,
  whole,
  word,
} from "./message_values.ts";

/** What a worker has sent, received and dropped since it started, and how it has spent its time. */
const traffic = z.strictObject({
  ...stepTraffic,
  /** Bytes received in state transfers. */
  stateBytes: whole(),
  /** Dropped orders of an earlier coordinator, or to an earlier set of members. */
  staleOrders: whole(),
  /** Orders with a payload that does not fit their kind. */
  malformedOrders: whole(),
  /** Time in each activity. */
  spent: z.strictObject({ computing: seconds(), exchanging: seconds(), waiting: seconds() }),
  /** Resident bytes of its process now. */
  memory: whole(),
});

const microBatchReport: z.ZodType<MicroBatchReport> = z.strictObject({
  crc: word(),
  lossSum: anyNumber(),
  tokens: whole(),
  finite: z.boolean(),
});

const microBatchLoss: z.ZodType<MicroBatchLoss> = z.strictObject({
  microBatch: whole(),
  lossSum: anyNumber(),
  tokens: whole(),
});

const saveResult: z.ZodType<SaveResult> = z.union([
  z.strictObject({ place: line() }),
  z.strictObject({ error: text() }),
]);

/** Most texts of a message, and characters of each. */
const MOST_TEXTS = 64, MOST_CHARACTERS = 1024;

/** Texts as a model made them: they may hold any character. */
const sampleResult: z.ZodType<SampleResult> = z.union([
  z.strictObject({ texts: z.array(z.string().max(MOST_CHARACTERS)).max(MOST_TEXTS) }),
  z.strictObject({ error: line() }),
]);

const MOST_DIMENSIONS = 8;
/** Most values of a layout; a larger model could not be trained here. */
const MOST_VALUES = 2 ** 32;

const layout = z.array(z.tuple([label(), z.array(values()).max(MOST_DIMENSIONS)]))
  .refine((entries) => sizeOf(entries) <= MOST_VALUES);

function sizeOf(entries: readonly (readonly [string, readonly number[]])[]): number {
  return entries.reduce((sum, [, shape]) => sum + shape.reduce((product, length) => product * length, 1), 0);
}

const identity: z.ZodType<ReplicaIdentity> = z.strictObject({
  layout,
  layoutFingerprint: hash(),
  numericsFingerprint: line(),
  corpus: z.strictObject({ bytes: whole(), sha256: hash() }),
}).refine(({ layout, layoutFingerprint }) => layoutOf(layout).fingerprint === layoutFingerprint);

/** Names of a state's vectors with their lengths. */
const vectors = z.array(z.tuple([label(), values()])).max(64);

/** By kind of frame. */
export const FROM_MEMBERS = {
  /** A newcomer that asks to be a member. */
  join: z.strictObject({
    /** Distinguishes two processes with the same name. */
    nonce: label(),
    /** Identity of the run that it asks to join. */
    id: id(),
    identity,
    /** Of the run part of the configuration. */
    configHash: hash(),
    /** Of all its vectors. */
    stateHash: hash(),
    /** Whether it is on the machine where the run was started. */
    atHome: z.boolean(),
    /** Memory that it shares with processes of its machine. */
    memory: memory().optional(),
    /** What it computes with, for people. */
    device: line(),
  }),
  /** Heartbeat of a member. */
  status: z.strictObject({
    /** As text for the user: "computing", "saving". */
    phase: line(),
    /** Rises with every micro-batch and every part, so that a long step can be told from a stuck one. */
    progress: whole(),
    /** Whether it asks to leave: it may when other members remain, or when its state is saved. */
    isLeaving: z.literal(true).optional(),
    traffic,
  }),
  /** Reports on the micro-batches of the sum, in a round grouped by step, and the time for all of them. */
  offer: z.strictObject({ microBatches: z.array(microBatchReport).min(1), seconds: seconds() }),
  /** Losses of validation micro-batches. */
  evaluated: z.strictObject({
    losses: z.array(microBatchLoss),
  }),
  /** Continuations of the prompts, in their order. */
  sampled: sampleResult,
  /** The state is copied, and the run may continue. */
  copied: z.strictObject({}),
  /** Result of writing a checkpoint: its place on the member's machine, or why it could not be written. */
  saved: saveResult,
  /** The state of the step is pinned: it can be transferred. */
  pinned: z.strictObject({}),
  /** The state of the step was restored. */
  restored: z.strictObject({}),
  /** Hashes of its state. */
  hashes: z.strictObject({ state: hash(), params: hash(), traffic }),
  /** The error, if that is the reason. */
  leave: z.strictObject({ error: text().optional(), traffic: traffic.optional() }),
  /** From its launcher: its process has ended, the one that has joined with this nonce. */
  ended: z.strictObject({ nonce: label() }),
  /** Heartbeat of a reducer: for how many seconds each member has kept it waiting, and what it has dropped. */
  reducer: z.strictObject({
    blockedSeconds: z.record(name(), seconds()),
    /** Memory that it shares with processes of its machine. */
    memory: memory().optional(),
    /** Orders with a payload that does not fit their kind. */
    malformedOrders: whole(),
  }),
  /** Sums of squares of the blocks of each part of the mean that all members have, and the traffic. */
  reduced: z.strictObject({
    squares: z.array(z.tuple([word(), z.array(anyNumber())])),
    traffic: z.strictObject(stepTraffic),
  }),
  /** Description of a pinned state: vectors by name, with their lengths. */
  manifest: z.strictObject({
    step: word(),
    updates: whole(),
    tokens: whole(),
    /** Values of a part. */
    partElements: z.int().min(1),
    vectors,
    /** The donor's own moments. */
    own: z.strictObject({ updates: whole(), vectors }).optional(),
    stateHash: hash(),
  }),
};

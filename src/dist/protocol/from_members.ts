/**
 * What members, newcomers and reducers say: to the coordinator, and to each other about a pinned state.
 *
 * @module
 */

import { z } from "zod";
import { layoutOf } from "../../layout.ts";
import type { MicroBatchLoss, MicroBatchReport } from "../replica/accumulate.ts";
import type { ReplicaIdentity, SaveResult } from "../replica/replica.ts";
import {
  anyNumber,
  hash,
  id,
  label,
  line,
  name,
  seconds,
  stepTraffic,
  values,
  whole,
  word,
  words,
} from "./message_values.ts";

/** What a worker has sent, received and dropped since it began. */
const traffic = z.strictObject({
  ...stepTraffic,
  /** Bytes of others' states that it took over. */
  stateBytes: whole(),
  /** Orders of an earlier coordinator, or to an earlier set of members, that it did not take. */
  staleOrders: whole(),
  /** Orders that did not hold what they should. */
  malformedOrders: whole(),
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
  z.strictObject({ error: words() }),
]);

const MOST_DIMENSIONS = 8;
/** Of a layout: a model that is larger could not be trained here anyway. */
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
  /** Who wants to be a member. */
  join: z.strictObject({
    /** Tells two members of the same name apart. */
    nonce: label(),
    /** Identity of the run that it wants to take part in. */
    id: id(),
    identity,
    /** Of the run part of the configuration. */
    configHash: hash(),
    /** Of all its vectors. */
    stateHash: hash(),
    /** Whether it is on the machine where the run was started. */
    atHome: z.boolean(),
  }),
  /** What a member does. */
  status: z.strictObject({
    /** In words for people: "computing", "saving". */
    phase: line(),
    /** Rises with every micro-batch and every part, so that a long step can be told from a stuck one. */
    progress: whole(),
    /** Whether it asks to leave: it may when others stay, or when what it has is saved. */
    isLeaving: z.literal(true).optional(),
    traffic,
  }),
  /** What each micro-batch of the sum added, step after step in a round, and how long all of them took. */
  offer: z.strictObject({ microBatches: z.array(microBatchReport).min(1), seconds: seconds() }),
  /** Losses of validation micro-batches. */
  evaluated: z.strictObject({
    losses: z.array(microBatchLoss),
  }),
  /** The state is copied, and the run may go on. */
  copied: z.strictObject({}),
  /** How the writing of a checkpoint ended: where it is, on the member's machine, or why it is not there. */
  saved: saveResult,
  /** The state of the step is pinned: it can be taken over. */
  pinned: z.strictObject({}),
  /** The state of the step was taken over. */
  restored: z.strictObject({}),
  /** What its state is. */
  hashes: z.strictObject({ state: hash(), params: hash(), traffic }),
  /** Why, where it is an error. */
  leave: z.strictObject({ error: words().optional(), traffic: traffic.optional() }),
  /** For how many seconds each member has kept a reducer waiting, and what it has dropped. */
  reducer: z.strictObject({
    blockedSeconds: z.record(name(), seconds()),
    /** Orders that did not hold what they should. */
    malformedOrders: whole(),
  }),
  /** Sums of squares of the blocks of each part of the mean that all members have, and what it cost. */
  reduced: z.strictObject({
    squares: z.array(z.tuple([word(), z.array(anyNumber())])),
    traffic: z.strictObject(stepTraffic),
  }),
  /** What a pinned state consists of: vectors by name, with their lengths. */
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

/**
 * Messages of the coordinator: answers to newcomers, and orders to members and reducers.
 *
 * @module
 */

import { z } from "zod";
import {
  anyNumber,
  exchangeSizes,
  hash,
  id,
  leaves,
  line,
  name,
  names,
  range,
  seconds,
  span,
  text,
  values,
  whole,
  word,
} from "./message_values.ts";

/** Most files of a text: their lengths fit into one message. */
export const MOST_FILES = 50_000;

/** A sum that a member has and that may be pulled, over leaves of the tree: micro-batches, or in a round members. */
const offeredSum = z.strictObject({
  /** Name of the member. */
  member: name(),
  /** First leaf. */
  lo: word(),
  /** One past the last. */
  hi: word(),
  /** Whether the coordinator has all of it: then it is kept if the member is lost. */
  pulled: z.literal(true).optional(),
}).readonly();

const MOST_OWNERS = 4096;

/** The sums of a step, and the processes that reduce them. */
const stepOfVectors = z.strictObject({
  /** The step, of a round the first. */
  step: word(),
  /** The last step before it whose mean was applied. */
  appliedStep: word(),
  /** The generation in which it was opened: frames of an earlier one may belong to another round. */
  openedIn: word(),
  /** The processes that reduce: part p belongs to number p modulo their count. */
  owners: z.array(name()).min(1).max(MOST_OWNERS).readonly(),
  /** Leaves of the tree: micro-batches, or in a round members. */
  leaves: leaves(),
  /** Sums of all leaves that count, each once. */
  sums: z.array(offeredSum).readonly(),
  /** Members that receive the mean. */
  members: names().readonly(),
  /** Those of them, and of the newcomers that follow the steps, that share no memory with the others: they get bytes. */
  far: names().readonly(),
  /** Counted tokens of the batch. */
  tokens: whole(),
  /** Sum of their losses, in nats. */
  lossSum: anyNumber(),
  /** Values of a vector. */
  values: values(),
});

/** A configuration has sections in sections, and lists of numbers. */
const MOST_LEVELS = 8;

function isShallow(value: unknown, levels: number): boolean {
  if (typeof value !== "object" || value === null) return true;
  return levels > 0 && Object.values(value).every((inner) => isShallow(inner, levels - 1));
}

/** By kind of frame. */
export const FROM_COORDINATOR = {
  /** The run part of the configuration, and the step after which the run starts or is resumed. */
  run: z.strictObject({
    /** Checked where it is used. */
    config: z.record(z.string(), z.unknown()).refine((config) => isShallow(config, MOST_LEVELS)),
    configHash: hash(),
    /** Identity of the run. */
    id: id(),
    /** Where its data begins: the samples that had been consumed at the end of this step. */
    origin: z.strictObject({ step: word(), samples: whole() }),
    startStep: word(),
  }),
  /** Description of the run's text. */
  contents: z.strictObject({
    bytes: whole(),
    /** Bytes of a part. */
    partBytes: z.int().min(1),
    /** Lengths of its files, which are joined with one byte between two. */
    files: z.array(whole()).min(1).max(MOST_FILES),
    sha256: hash(),
  }).refine(({ bytes, files }) => files.reduce((sum, length) => sum + length + 1, -1) === bytes),
  /** What a member needs to know. */
  welcome: z.strictObject({
    /** Whether it is a member already, since it has the run's state. */
    admitted: z.boolean(),
    /** Whether it shares memory with the coordinator's neighbours: sums and means are referred to. */
    isNear: z.boolean(),
    /** Micro-batches of an evaluation. */
    evaluationMicroBatches: whole(),
    ...exchangeSizes,
  }),
  /** What a reducer needs to know, and its order. */
  reduce: z.strictObject({
    /** The generation in which it was admitted; where that changes, its open step and residuals are void. */
    joinedGeneration: word(),
    /** The step after which the run was started, where none has ended since: residuals saved at it are to be restored. */
    startStep: word(),
    /** Whether it shares memory with the coordinator's neighbours. */
    isNear: z.boolean(),
    /** Seconds since each member was last heard of. */
    silent: z.record(name(), seconds()),
    /** The open step, while it has a part in it. */
    work: stepOfVectors.optional(),
    ...exchangeSizes,
  }),
  refuse: z.strictObject({
    /** What differs, one line each. */
    reasons: z.array(line()).min(1).max(100),
    /** Whether all of it may be gone when the worker asks again. */
    retry: z.literal(true).optional(),
  }),
  /** To one member. */
  assign: z.strictObject({
    /** Its subtrees, in a round its leaf. */
    ranges: z.array(range()).readonly(),
    /** A round: each member takes local steps, then its parameter delta is one leaf of the tree over the members. */
    round: z.strictObject({
      /** Number of local steps. */
      localSteps: leaves(),
      /** Its micro-batches, the same in each step; without any it has no leaf. */
      share: span(),
    }).optional(),
    /** Checksum of the names of all members with which the step was opened. */
    members: word(),
  }),
  /** How all members end the step. */
  commit: z.strictObject({
    apply: z.boolean(),
    norm: anyNumber(),
    loss: anyNumber(),
    tokens: whole(),
    /** How many micro-batches its steps have, and the checksum of their checksums, which the record has one by one. */
    samples: z.strictObject({ count: leaves(), crc: word() }),
    /** Where a round ends, the steps that end with it, and the attempt at its mean that counts. */
    round: z.strictObject({
      localSteps: leaves(),
      /**
       * The mean of a round may be computed again, where the round was opened again, or over fewer leaves, without a lost member: `openedIn`
       * is the generation in which the round was opened, `leaves` how many count.
       */
      attempt: z.strictObject({ openedIn: word(), leaves: word() }),
    }).optional(),
  }),
  /** To one member: its validation micro-batches, and which member continues the prompts. */
  evaluate: z.strictObject({
    ranges: z.array(span()).readonly(),
    /** `isAwaited`: it answers only then, since no step follows. */
    sampler: z.strictObject({ member: name(), isAwaited: z.literal(true).optional() }).optional(),
  }),
  /**
   * The member whose state becomes the checkpoint, and all members that copy their state for it. All save their residuals with the
   * list of members; reducers need the last step that was applied.
   */
  save: z.strictObject({
    writer: name(),
    /** The checkpoint can't be brought into the run's folder: the writer keeps it on its own machine. */
    isKept: z.literal(true).optional(),
    copying: names(),
    members: names(),
    appliedStep: word(),
  }).refine(({ writer, copying, members }) => [writer, ...copying].every((name) => members.includes(name))),
  /** The member that pins its state. */
  pin: z.strictObject({ donor: name() }),
  /** The member that has pinned its state. */
  takeover: z.strictObject({ donor: name() }),
  /** `isLast`: the run ends with it. The states are hashed anew, though they may have been compared after this step before. */
  hash: z.strictObject({ isLast: z.literal(true).optional() }),
  /** The error, if that is the reason, and whether another coordinator can resume from the newest checkpoint. */
  finish: z.strictObject({ error: text().optional(), canResume: z.literal(true).optional() }),
};

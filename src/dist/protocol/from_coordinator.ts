/**
 * What the coordinator says: answers to newcomers, and orders to members and reducers.
 *
 * @module
 */

import { z } from "zod";
import {
  anyNumber,
  byMember,
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
  values,
  whole,
  word,
  words,
} from "./message_values.ts";

/** Files of a text whose lengths fit into one message. */
export const MOST_FILES = 50_000;

/** A round: each member takes steps by itself, then how far it has come is one leaf of the tree over the members. */
const round = z.strictObject({
  /** How many steps. */
  localSteps: leaves(),
  /** Micro-batches of each member, the same of each step; who has none has no leaf. */
  shares: byMember(span()),
});

/** A sum that a member has and that may be pulled, over leaves of the tree: micro-batches, or in a round members. */
const offeredSum = z.strictObject({
  /** Who has it. */
  member: name(),
  /** First leaf. */
  lo: word(),
  /** One past the last. */
  hi: word(),
  /** Whether the coordinator has all of it: then it outlives its member. */
  pulled: z.literal(true).optional(),
}).readonly();

const MOST_OWNERS = 4096;

/** What is averaged in a step, and by whom. */
const stepOfVectors = z.strictObject({
  /** The step, of a round the first. */
  step: word(),
  /** The last step before it whose mean was applied. */
  appliedStep: word(),
  /** The generation that it was opened in: what was sent in an earlier one may be of another round. */
  openedIn: word(),
  /** Who averages: part p is that of number p modulo their count. */
  owners: z.array(name()).min(1).max(MOST_OWNERS).readonly(),
  /** Leaves of the tree: micro-batches, or in a round members. */
  leaves: leaves(),
  /** Sums of all leaves that count, each once. */
  sums: z.array(offeredSum).readonly(),
  /** Who gets the mean. */
  members: names().readonly(),
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

const ranges = byMember(z.array(range()).readonly());

/** By kind of frame. */
export const FROM_COORDINATOR = {
  /** The run part of the configuration, and the step that a new run, or one that goes on from a checkpoint, starts after. */
  run: z.strictObject({
    /** Read by who knows what a configuration is. */
    config: z.record(z.string(), z.unknown()).refine((config) => isShallow(config, MOST_LEVELS)),
    configHash: hash(),
    /** Identity of the run. */
    id: id(),
    /** Where its data began: the samples that had been consumed when this step ended. */
    origin: z.strictObject({ step: word(), samples: whole() }),
    startStep: word(),
  }),
  /** What the run's text consists of. */
  contents: z.strictObject({
    bytes: whole(),
    /** Of a part. */
    partBytes: z.int().min(1),
    /** Lengths of its files, which have one byte between two. */
    files: z.array(whole()).min(1).max(MOST_FILES),
    sha256: hash(),
  }).refine(({ bytes, files }) => files.reduce((sum, length) => sum + length + 1, -1) === bytes),
  /** What a member has to know. */
  welcome: z.strictObject({
    /** Whether it is a member at once: then it has the run's state. */
    admitted: z.boolean(),
    /** Micro-batches of an evaluation. */
    evaluationMicroBatches: whole(),
    ...exchangeSizes,
  }),
  /** What a reducer has to know, and to do. */
  reduce: z.strictObject({
    /** The generation in which it was taken on; another one than before: what it has in hand is void. */
    joinedGeneration: word(),
    /** The step that the run has started after, where none has ended since: what was kept then is to be taken up. */
    startStep: word(),
    /** For how many seconds nothing was heard of each member. */
    silent: z.record(name(), seconds()),
    /** The open step, while it has a part in it. */
    work: stepOfVectors.optional(),
    ...exchangeSizes,
  }),
  /** What differs, one line each. */
  refuse: z.strictObject({ reasons: z.array(line()).min(1).max(100) }),
  /** Whole subtrees of each member, in a round its leaf. Who is not named is no member. */
  assign: z.strictObject({ ranges, round: round.optional() }),
  /** What all do with the mean. */
  commit: z.strictObject({
    apply: z.boolean(),
    norm: anyNumber(),
    loss: anyNumber(),
    tokens: whole(),
    /** Null for samples that are dropped with a lost member's round; step after step. */
    crcs: z.array(word().nullable()),
    /** Where a round ends, the steps that end with it, and the attempt at its mean that counts. */
    round: z.strictObject({
      localSteps: leaves(),
      /**
       * A mean of a round may be made anew, where the round was opened again, or over fewer leaves, without a member that was lost:
       * `lo` is the generation that the round was opened in, `hi` how many leaves count.
       */
      attempt: z.strictObject({ lo: word(), hi: word() }),
    }).optional(),
  }),
  /** Validation micro-batches of each member. */
  evaluate: z.strictObject({ ranges: byMember(z.array(span()).readonly()) }),
  /**
   * The member whose state becomes the checkpoint, and all who copy their state for it. All keep their residuals, and who was there;
   * who averages has to know which step was the last that was applied.
   */
  save: z.strictObject({
    writer: name(),
    /** The checkpoint can't get into the run's folder: the writer keeps it on its own machine. */
    isKept: z.literal(true).optional(),
    copying: names(),
    members: names(),
    appliedStep: word(),
  }).refine(({ writer, copying, members }) => [writer, ...copying].every((name) => members.includes(name))),
  /** The member that pins its state. */
  pin: z.strictObject({ donor: name() }),
  /** The member that has pinned its state. */
  takeover: z.strictObject({ donor: name() }),
  /** Nothing has to be said. */
  hash: z.strictObject({}),
  /** Why, where it is an error, and whether another coordinator can go on, from the newest checkpoint. */
  finish: z.strictObject({ error: words().optional(), canResume: z.literal(true).optional() }),
};

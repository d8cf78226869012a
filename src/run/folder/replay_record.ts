/**
 * `record.jsonl`: for each step, what it takes to compute it again: who computed what from which ids, and what changed in the
 * run before it.
 *
 * @module
 */

import { z } from "zod";

const microBatch = z.int().min(0);

/** The schema of a line of `record.jsonl`. */
export const replayRecordSchema = z.object({
  step: z.int().min(1),
  /** Number of the set of members. */
  generation: z.int().min(0),
  /** Ranges [lo, hi) of the micro-batches that each member computed. */
  computed: z.record(z.string(), z.array(z.tuple([microBatch, microBatch]))),
  /** CRC-32 of the ids that were fed to the model, per micro-batch; null where they were dropped with a member lost in the round. */
  samples: z.array(z.int().nullable()),
  /** Newcomers that restored their state since the step before, and from whom. */
  donors: z.record(z.string(), z.string()).optional(),
  /** Members that were lost since the step before. */
  lost: z.array(z.string()).optional(),
  /** Whose residuals of error feedback were dropped since the step before. */
  residualsDropped: z.array(z.string()).optional(),
});

/** A line of `record.jsonl`. */
export type ReplayRecord = z.output<typeof replayRecordSchema>;

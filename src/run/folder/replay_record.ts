/**
 * `record.jsonl`: for each step, what it takes to compute it again: who computed what from which ids, and what changed in the
 * run before it.
 *
 * @module
 */

import { z } from "zod";
import type { CommittedStep, DistEvent } from "../../dist/mod.ts";
import { mapValues } from "../../records.ts";

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

/** What has changed in the run since the step before. */
export type ChangesBeforeStep = Pick<ReplayRecord, "donors" | "lost" | "residualsDropped">;

/** The changes with what an event says of them. */
export function changedBy(changes: ChangesBeforeStep, event: DistEvent): ChangesBeforeStep {
  const { donors, lost = [], residualsDropped = [] } = changes;
  switch (event.kind) {
    case "joining":
      return { ...changes, donors: { ...donors, [event.member]: event.donor } };
    case "left":
      return event.error === undefined ? changes : { ...changes, lost: [...lost, event.member] };
    case "residualsDropped":
      return { ...changes, residualsDropped: [...residualsDropped, event.holder] };
    default:
      return changes;
  }
}

/** The record of a step. */
export function replayRecordOf(
  { step, generation, computed, samples }: CommittedStep,
  changes: ChangesBeforeStep,
): ReplayRecord {
  return { step, generation, computed: mapValues(computed, rangesOf), samples, ...changes };
}

/** Ranges [lo, hi) of numbers that rise. */
function rangesOf(numbers: readonly number[]): [number, number][] {
  const ranges: [number, number][] = [];
  for (const number of numbers) {
    const last = ranges.at(-1);
    if (last?.[1] === number) last[1]++;
    else ranges.push([number, number + 1]);
  }
  return ranges;
}

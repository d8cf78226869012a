/**
 * What members have computed of the open step so far.
 *
 * @module
 */

import type { Share } from "../replica/step_record.ts";
import { addLosses, type LossSum } from "../vectors/sums.ts";
import type { StepInProgress } from "../state/run_state.ts";
import { known } from "../state/transitions.ts";

/** Losses and tokens of all micro-batches that count, in the tree's order. */
export function totalOf(progress: StepInProgress): LossSum {
  return addLosses(sharesOf(progress).flatMap(({ reports }) => reports));
}

/** Who computed what, in the order of the micro-batches. */
export function sharesOf({ sums, reports, round }: StepInProgress): Share[] {
  return sums.toSorted((a, b) => a.lo - b.lo).map(({ member, lo, hi }) => {
    const [first, end] = round ? round.shares[member] : [lo, hi];
    return { member, lo: first, hi: end, reports: known(reports.slice(lo, hi)).flat() };
  });
}

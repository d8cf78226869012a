/**
 * When a step is skipped: one decision for all members, from their reports on the micro-batches.
 *
 * @module
 */

import type { Share } from "./step_record.ts";
import type { LossSum } from "../vectors/sums.ts";

/** Why the gradients of a step can't be used, naming micro-batch and member; undefined where they can. */
export function reasonToSkip(
  shares: readonly Share[],
  total: LossSum,
): string | undefined {
  for (const { member, lo, hi, reports } of shares) {
    const bad = reports.findIndex(({ finite }) => !finite);
    if (bad < 0) continue;
    return `loss or gradient of micro-batch ${lo + bad % (hi - lo)}, computed by ${member}, is not finite`;
  }
  if (total.tokens === 0) return "no token of the batch is counted";
  return Number.isFinite(total.lossSum) ? undefined : "the sum of the losses is not finite";
}

/** Why a mean with this norm can't be applied: the sum of finite gradients may overflow. */
export function reasonNotFinite(norm: number): string | undefined {
  return Number.isFinite(norm) ? undefined : "the sum of the gradients is not finite";
}

/** Why a run stops after `skips` skipped steps in a row; undefined where it continues. */
export function reasonToStop(
  skips: number,
  maxSkips: number,
  reason: string | undefined,
): string | undefined {
  if (skips < maxSkips) return undefined;
  return `${skips} steps in a row were skipped, the last because ${reason}; a lower learning rate, ` +
    "a longer warm-up or a smaller clipNorm may help";
}

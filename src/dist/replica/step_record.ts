/**
 * The record of each step of one commit: of a single step, or of the local steps of a round.
 *
 * @module
 */

import type { CommittedStep } from "./plan.ts";
import { addLosses } from "../vectors/sums.ts";
import type { MicroBatchReport } from "./accumulate.ts";

/** Reports of one member on the micro-batches [lo, hi) of a step, or of each step of a round. */
export interface Share {
  /** Name of the member. */
  member: string;
  /** First micro-batch. */
  lo: number;
  /** One past the last. */
  hi: number;
  /** One for each micro-batch, grouped by step. */
  reports: readonly MicroBatchReport[];
}

/** The common values of all steps of one commit. */
export interface Commitment extends
  Pick<
    CommittedStep,
    | "gradNorm"
    | "applied"
    | "reason"
    | "seconds"
    | "workers"
    | "generation"
    | "bytesSent"
    | "bytesReceived"
  > {
  /** The first of them. */
  step: number;
  /** Number of local steps; undefined for an ordinary step. */
  localSteps?: number;
  /** Micro-batches of the global batch of each step. */
  microBatches: number;
  /** All members' reports, in the order of the micro-batches. */
  shares: readonly Share[];
}

/** The record of each step: norm and traffic of the commit stand in the last one, the time is divided equally. */
export function committedSteps(commitment: Commitment): CommittedStep[] {
  const { step: first, localSteps, microBatches, shares, ...common } = commitment;
  const { gradNorm, seconds, bytesSent, bytesReceived } = common;
  const steps = localSteps ?? 1;
  return Array.from({ length: steps }, (_, i) => {
    const computed: Record<string, number[]> = {};
    const samples: (number | null)[] = Array.from({ length: microBatches }, () => null);
    const reports = shares.flatMap(({ member, lo, hi, reports }) => {
      const ofStep = reports.slice(i * (hi - lo), (i + 1) * (hi - lo));
      ofStep.forEach(({ crc }, j) => samples[lo + j] = crc);
      computed[member] = [...(computed[member] ?? []), ...ofStep.map((_, j) => lo + j)];
      return ofStep;
    });
    const { lossSum, tokens } = addLosses(reports);
    const isLast = i === steps - 1;
    return {
      step: first + i,
      loss: lossSum / tokens,
      tokens,
      ...common,
      gradNorm: isLast ? gradNorm : NaN,
      seconds: seconds / steps,
      bytesSent: isLast ? bytesSent : 0,
      bytesReceived: isLast ? bytesReceived : 0,
      computed,
      samples,
      ...(localSteps === undefined ? {} : { round: [first, first + steps - 1] as const }),
    };
  });
}

/**
 * `metrics.jsonl`: a line for each step and each evaluation.
 *
 * @module
 */

import type { CommittedStep, RunRecord } from "../../dist/mod.ts";

/** What `metrics.jsonl` says of a step. */
export interface StepMetrics extends Omit<CommittedStep, "seconds" | "reason" | "computed" | "samples"> {
  /** When it was committed, ISO 8601 in UTC. */
  at: string;
  /** Counted tokens by the time from the step's opening to its commit. */
  tokensPerSecond: number;
  /** Learning rate of this step. */
  lr: number;
  /** For how long the run had trained, in seconds since its first step opened, without the time between two starts. */
  elapsed: number;
}

/** What `metrics.jsonl` says of an evaluation after a step. */
export interface EvaluationMetrics {
  /** When it ended, ISO 8601 in UTC. */
  at: string;
  /** The step after which it was. */
  step: number;
  /** Mean over the validation part's counted tokens, nats per token. */
  valLoss: number;
}

/** What `metrics.jsonl` has on record of the steps so far. */
export interface MetricsRecord extends RunRecord {
  /** For how long the run has trained, in seconds. */
  elapsed: number;
  /** Workers of the last step; 0 where there was none, or it was computed in one process. */
  workers: number;
  /** The last step on record; 0 where there is none. */
  lastStep: number;
}

/** How often in a row, up to the last step, a step was skipped; the steps of a round count as one. */
export function skipsOf(steps: readonly StepMetrics[]): number {
  const skipped = steps.slice(1 + steps.findLastIndex(({ applied }) => applied));
  return skipped.filter(({ step, round }) => round === undefined || step === round[1]).length;
}

/** Numbers that may be NaN. Flashmob 0.1 wrote null for it. */
const MAY_BE_NAN = ["loss", "gradNorm", "tokensPerSecond", "valLoss"];

/** What lines of metrics say. A torn line is skipped; flashmob 0.1 wrote no `at`, and more of each step. */
export function metricsIn(lines: readonly string[]): (StepMetrics | EvaluationMetrics)[] {
  return lines.flatMap((line) => {
    try {
      return metricsOf(JSON.parse(line));
    } catch {
      return [];
    }
  });
}

function metricsOf(line: Record<string, unknown>): StepMetrics | EvaluationMetrics {
  for (const name of MAY_BE_NAN) {
    if (name in line) {
      line[name] = line[name] === null ? NaN : Number(line[name]);
    }
  }
  return line as unknown as StepMetrics | EvaluationMetrics;
}

/** Whether a line is about a step. */
export function isStep(metrics: StepMetrics | EvaluationMetrics): metrics is StepMetrics {
  return "loss" in metrics;
}

/**
 * `metrics.jsonl`: a line for each step and each evaluation.
 *
 * @module
 */

import { errorMessage, RunError } from "../../errors.ts";
import { parseJson, stringifyJson } from "../../json.ts";
import type { CommittedStep, RunRecord } from "../../dist/mod.ts";

/** What `metrics.jsonl` says of a step. */
export interface StepMetrics extends Omit<CommittedStep, "seconds" | "reason"> {
  /** Counted tokens by the time from the step's opening to its commit. */
  tokensPerSecond: number;
  /** Learning rate of this step. */
  lr: number;
  /** For how long the run had trained, in seconds since its first step opened, without the time between two starts. */
  elapsed: number;
}

/** What `metrics.jsonl` says of an evaluation after a step. */
export interface EvaluationMetrics {
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

/** Adds lines to `metrics.jsonl`. */
export class MetricsWriter implements Disposable {
  readonly #file: Deno.FsFile;

  /** Opens the file, or makes it. */
  constructor(readonly path: string) {
    try {
      this.#file = Deno.openSync(path, { append: true, create: true });
    } catch (error) {
      throw new RunError(`The metrics can't be written to ${path}: ${errorMessage(error)}`);
    }
  }

  /** Adds a line, which outlives the process once this returns. */
  write(metrics: StepMetrics | EvaluationMetrics): void {
    const bytes = new TextEncoder().encode(stringifyJson(metrics) + "\n");
    try {
      for (let at = 0; at < bytes.length;) at += this.#file.writeSync(bytes.subarray(at));
    } catch (error) {
      throw new RunError(
        `The metrics of step ${metrics.step} can't be written to ${this.path}: ${errorMessage(error)}`,
      );
    }
  }

  /** Closes the file. */
  [Symbol.dispose](): void {
    this.#file.close();
  }
}

/** How often in a row, up to the last step, a step was skipped; the steps of a round count as one. */
export function skipsOf(steps: readonly StepMetrics[]): number {
  const skipped = steps.slice(1 + steps.findLastIndex(({ applied }) => applied));
  return skipped.filter(({ step, round }) => round === undefined || step === round[1]).length;
}

/** Numbers that may be NaN. Flashmob 0.1 wrote null for it. */
const MAY_BE_NAN = ["loss", "gradNorm", "tokensPerSecond", "valLoss"];

/** What a line of metrics says. */
export function metricsIn(line: string): StepMetrics | EvaluationMetrics {
  const metrics = parseJson<Record<string, unknown>>(line);
  for (const name of MAY_BE_NAN) if (metrics[name] === null) metrics[name] = NaN;
  return metrics as unknown as StepMetrics | EvaluationMetrics;
}

/** Whether a line is about a step. */
export function isStep(metrics: StepMetrics | EvaluationMetrics): metrics is StepMetrics {
  return "loss" in metrics;
}

/** The step of a line of metrics; a torn last line counts as discarded. */
export function stepOf(line: string): number {
  try {
    return (JSON.parse(line) as { step: number }).step;
  } catch {
    return Infinity;
  }
}

/**
 * What a run tells the person who watches it. The tools turn these into text; nothing in `src/` prints.
 *
 * @module
 */

import type { Summary } from "./folder.ts";
import type { EvaluationMetrics, StepMetrics } from "./metrics.ts";

/** One thing that happened in a run. */
export type RunEvent =
  /** A line for people: fetching, joining, refusing, waiting. */
  | { kind: "status"; text: string }
  /** A step was committed. */
  | { kind: "step"; metrics: StepMetrics }
  /** An evaluation ended. */
  | { kind: "evaluated"; metrics: EvaluationMetrics }
  /** A checkpoint is complete. */
  | { kind: "saved"; step: number }
  /** The run ended, at its last step or at a signal. */
  | { kind: "finished"; summary: Summary };

/** Takes the events of a run. */
export type RunListener = (event: RunEvent) => void;

/**
 * Shows what this machine's workers do in a run of a coordinator elsewhere: one redrawn line on a terminal, a line every ten
 * seconds in a pipe, JSON lines with `--json`.
 *
 * @module
 */

import { stringifyJson } from "../src/json.ts";
import type { WorkerOutcome, WorkerStep } from "../src/run/participants/worker.ts";
import type { Output } from "./output.ts";
import { clock } from "../src/watch/words.ts";
import { columns } from "./progress.ts";

/** In a pipe a step is shown at most this often (ms); the first always is. */
const PLAIN_INTERVAL = 10_000;

/**
 * The line of a step: progress, loss, this machine's share and speed, time left.
 *
 * @param secondsPerStep undefined where only one step is known
 */
export function joinedLine(step: WorkerStep, secondsPerStep: number | undefined): string {
  const { loss, applied, tokens, microBatches, share, steps } = step;
  const own = share === 0
    ? `none of ${microBatches} micro-batches: it stands by`
    : `${share} of ${microBatches} micro-batch${microBatches === 1 ? "" : "es"}`;
  const speed = secondsPerStep === undefined ? [] : [
    `${Math.round(tokens * share / microBatches / secondsPerStep).toLocaleString("en")} tokens/s`,
    `${clock((steps - step.step) * secondsPerStep)} left`,
  ];
  const progress = `step ${String(step.step).padStart(String(steps).length)}/${steps}`;
  return [progress, applied ? `loss ${loss.toFixed(4)}` : "skipped", own, ...speed].join("  ");
}

/** The line of a worker's end. */
export function outcomeLine({ outcome, step, steps }: WorkerOutcome): string {
  switch (outcome) {
    case "done":
      return `the run is done: step ${step} was its last`;
    case "stopped":
      return `the run was stopped after step ${step} of ${steps}`;
    case "left":
      return `left the run after step ${step} of ${steps}; it continues without this machine`;
  }
}

/** Shows the steps of this machine's workers. */
export class JoinedRun {
  /** The step that is shown, when it came first (ms), and the pace: seconds per step, smoothed. */
  #step = 0;
  #at = 0;
  #pace: number | undefined;
  #shown = -Infinity;

  /**
   * Nothing is shown yet.
   *
   * @param out where to
   * @param form a redrawn line, plain lines, or JSON lines
   * @param now milliseconds on a clock that does not go back
   */
  constructor(
    private readonly out: Pick<Output, "show" | "isIdle">,
    private readonly form: "redrawn" | "plain" | "json",
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** A worker has applied a step; the share is that of the machine. */
  readonly step = (step: WorkerStep): void => {
    const now = this.now();
    if (step.step > this.#step) {
      if (this.#step > 0) this.#measure((now - this.#at) / 1000 / (step.step - this.#step));
      [this.#step, this.#at] = [step.step, now];
    }
    if (this.form === "redrawn") {
      const line = joinedLine(step, this.#pace).slice(0, columns() - 1);
      if (this.out.isIdle) this.out.show(`\r\x1b[K${line}`);
    } else if (now - this.#shown >= PLAIN_INTERVAL) {
      this.#shown = now;
      this.out.show((this.form === "json" ? stringifyJson(step) : joinedLine(step, this.#pace)) + "\n");
    }
  };

  /** How the workers' part ended. */
  ended(outcome: WorkerOutcome): void {
    const line = this.form === "json" ? stringifyJson(outcome) : outcomeLine(outcome);
    this.out.show(`${this.form === "redrawn" ? "\r\x1b[K" : ""}${line}\n`);
  }

  #measure(seconds: number): void {
    this.#pace = this.#pace === undefined ? seconds : 0.9 * this.#pace + 0.1 * seconds;
  }
}

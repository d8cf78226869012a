/**
 * What a run reports: events to the person who watches it, lines to the files in its folder. The tools turn events into text;
 * nothing in `src/` prints.
 *
 * @module
 */

import type { RunFolder, Summary } from "./run_folder.ts";
import type { EvaluationMetrics, MetricsRecord, MetricsWriter, StepMetrics } from "./metrics.ts";
import type { TensorBoardLog } from "./tensorboard.ts";
import type { CommittedStep, DistEvent, RunOutcome } from "../../dist/mod.ts";

/** One thing that happened in a run. */
export type RunEvent =
  /** A line for people: fetching, joining, rejecting, waiting. */
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

/** Writes the events of a run into its folder, and passes them on. */
export class RunLog implements Disposable {
  #metrics: MetricsWriter;
  /** For how long the run had trained before this start, in seconds. */
  #before: number;
  /** When the first step of this start opened, ms. */
  #started: number | undefined;
  /** Whether the last evaluation was not finite. */
  #hasDiverged = false;

  /**
   * @param folder where metrics and summary go
   * @param learningRate of a step
   * @param listener gets every event of the run
   * @param tensorBoard gets the metrics, and is closed with the log
   */
  constructor(
    private readonly folder: RunFolder,
    private readonly learningRate: (step: number) => number,
    private readonly listener: RunListener,
    private readonly tensorBoard?: TensorBoardLog,
  ) {
    this.#metrics = folder.openMetrics();
    this.#before = folder.record().elapsed;
  }

  /**
   * Continues after a step what another process has written. That process, should it still run, can't write into the file any
   * more.
   */
  continueFrom(step: number): MetricsRecord {
    this.#metrics[Symbol.dispose]();
    this.folder.resumeFrom(step);
    this.#metrics = this.folder.openMetrics();
    const record = this.folder.record();
    this.#before = record.elapsed;
    this.tensorBoard?.restart();
    return record;
  }

  /** Closes the file of metrics. */
  [Symbol.dispose](): void {
    this.tensorBoard?.[Symbol.dispose]();
    this.#metrics[Symbol.dispose]();
  }

  /** Handles an event of the distribution. */
  readonly handle = (event: DistEvent): void => {
    switch (event.kind) {
      case "step":
        return this.#step(event.committed);
      case "evaluated": {
        const metrics = { step: event.step, valLoss: event.valLoss };
        this.#write(metrics);
        this.listener({ kind: "evaluated", metrics });
        return this.#warn(metrics);
      }
      case "saved":
        return this.#saved(event);
      default:
        return this.listener({ kind: "status", text: describe(event) });
    }
  };

  /** Writes the summary of a run that has ended. */
  async finish(outcome: RunOutcome): Promise<Summary> {
    const summary = { ...outcome, seconds: this.#elapsed() };
    await this.folder.writeSummary(summary);
    this.listener({ kind: "finished", summary });
    return summary;
  }

  #write(metrics: StepMetrics | EvaluationMetrics): void {
    this.#metrics.write(metrics);
    this.tensorBoard?.add(metrics);
  }

  /** For how long the run has trained, in seconds. */
  #elapsed(): number {
    return this.#before + (this.#started === undefined ? 0 : (Date.now() - this.#started) / 1000);
  }

  /** Records a checkpoint, and reports it. */
  #saved({ kind: _, ...saved }: DistEvent & { kind: "saved" }): void {
    const say = (text: string) => this.listener({ kind: "status", text });
    const { step, member, place, elsewhere } = saved;
    const unwritten = this.folder.events.add({ event: "saved", ...saved });
    if (unwritten !== undefined) say(unwritten);
    this.listener({ kind: "saved", step });
    if (elsewhere) say(`the checkpoint of step ${step} is in ${place} on the machine of ${member}`);
  }

  /** Reports that the model has diverged, once until it has recovered. */
  #warn({ step, valLoss }: EvaluationMetrics): void {
    const hasDiverged = !Number.isFinite(valLoss);
    if (hasDiverged && !this.#hasDiverged) {
      this.listener({
        kind: "status",
        text:
          `the model has diverged: after step ${step} its validation loss is ${valLoss}. Its checkpoints replace no earlier ` +
          "one; resume from one of those with a lower optimizer.learningRate, a longer optimizer.schedule.warmup, a smaller " +
          "optimizer.clipNorm, or with dist.codec float32",
      });
    }
    this.#hasDiverged = hasDiverged;
  }

  #step({ seconds, reason, ...committed }: CommittedStep): void {
    this.#started ??= Date.now() - seconds * 1000;
    const metrics: StepMetrics = {
      ...committed,
      tokensPerSecond: committed.tokens / seconds,
      lr: this.learningRate(committed.step),
      elapsed: this.#elapsed(),
    };
    this.#write(metrics);
    if (reason !== undefined) {
      this.listener({ kind: "status", text: `step ${committed.step} was skipped: ${reason}` });
    }
    this.listener({ kind: "step", metrics });
  }
}

/** The status line of an event of the membership. */
function describe(event: Exclude<DistEvent, { kind: "step" | "evaluated" | "saved" }>): string {
  switch (event.kind) {
    case "waiting":
      return event.reason;
    case "joined":
      return `${event.member} joined, members: ${event.members}`;
    case "refused":
      return `${event.member} was rejected: ${event.reasons.join("; ")}`;
    case "took over":
      return `failover to this coordinator (term ${event.term}): continues from step ${event.step}, members: ${
        event.members.join(", ") || "none"
      }`;
    case "no lease":
      return "the NATS server has no JetStream for this user: a frozen coordinator that wakes up is detected late";
    case "mixed":
      return `${event.member} computes with ${event.numerics}, the run with ${event.runsNumerics}: admitted, since ` +
        "dist.mixed is true; the result now depends on which member computes what";
    case "collecting":
      return `collects the checkpoint of step ${event.step} from ${event.member}: ${
        Math.floor(100 * event.share)
      } %`;
    case "joining":
      return `${event.member} restores the state of step ${event.step} from ${event.donor}`;
    case "unsaved":
      return `the run continues from step ${event.step} without its checkpoint: ${event.error}`;
    case "unkept":
      return `${event.member}'s own moments of step ${event.step} are not saved: ${event.error}`;
    case "residualsDropped":
      return `residuals of ${event.holder} are dropped: ${event.reason}`;
    case "reducerJoined":
      return `${event.reducer} reduces from the next step on, reducers: ${event.reducers}`;
    case "reducerLeft": {
      const { reducer, reducers, error } = event;
      return `${reducer} left${inBrackets(error)}, reducers: ${reducers}`;
    }
    case "dropped": {
      const { member, steps: [first, last], microBatches: [lo, hi] } = event;
      return `the round of steps ${first} to ${last} continues without ${member}: micro-batches ${lo} to ${
        hi - 1
      } of each ` +
        "are dropped";
    }
    case "left": {
      const { member, members, error } = event;
      return `${member} left${inBrackets(error)}, members: ${members}`;
    }
  }
}

function inBrackets(text: string | undefined): string {
  return text === undefined ? "" : ` (${text})`;
}

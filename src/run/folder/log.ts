/**
 * What a run tells: events to the person who watches it, lines to the files in its folder. The tools turn events into text; nothing
 * in `src/` prints.
 *
 * @module
 */

import type { RunFolder, Summary } from "./run_folder.ts";
import type { EvaluationMetrics, MetricsRecord, MetricsWriter, StepMetrics } from "./metrics.ts";
import type { CommittedStep, DistEvent, RunOutcome } from "../../dist/mod.ts";

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

/** Writes what a run tells into its folder, and hands it on. */
export class RunLog implements Disposable {
  #metrics: MetricsWriter;
  /** For how long the run had gone on before, in seconds. */
  #before: number;
  /** When the first step of this start opened, ms. */
  #started: number | undefined;
  /** What the last evaluation said. */
  #hasDiverged = false;

  /**
   * @param folder where metrics and summary go
   * @param learningRate of a step
   * @param listener gets every event of the run
   */
  constructor(
    private readonly folder: RunFolder,
    private readonly learningRate: (step: number) => number,
    private readonly listener: RunListener,
  ) {
    this.#metrics = folder.openMetrics();
    this.#before = folder.record().elapsed;
  }

  /**
   * Continues what another process has written up to a step. That process, should it still be there, can't write into
   * the file any more.
   */
  takeOver(step: number): MetricsRecord {
    this.#metrics[Symbol.dispose]();
    this.folder.resumeFrom(step);
    this.#metrics = this.folder.openMetrics();
    const record = this.folder.record();
    this.#before = record.elapsed;
    return record;
  }

  /** Closes the file of metrics. */
  [Symbol.dispose](): void {
    this.#metrics[Symbol.dispose]();
  }

  /** Takes an event of the distribution. */
  readonly hear = (event: DistEvent): void => {
    switch (event.kind) {
      case "step":
        return this.#step(event.committed);
      case "evaluated": {
        const metrics = { step: event.step, valLoss: event.valLoss };
        this.#metrics.write(metrics);
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

  /** For how long the run has gone on, in seconds. */
  #elapsed(): number {
    return this.#before + (this.#started === undefined ? 0 : (Date.now() - this.#started) / 1000);
  }

  /** On record, and told. */
  #saved({ kind: _, ...saved }: DistEvent & { kind: "saved" }): void {
    const say = (text: string) => this.listener({ kind: "status", text });
    const { step, member, place, elsewhere } = saved;
    const unwritten = this.folder.events.add({ event: "saved", ...saved });
    if (unwritten !== undefined) say(unwritten);
    this.listener({ kind: "saved", step });
    if (elsewhere) say(`the checkpoint of step ${step} is in ${place} on the machine of ${member}`);
  }

  /** Says it when the model has diverged, once until it is well again. */
  #warn({ step, valLoss }: EvaluationMetrics): void {
    const hasDiverged = !Number.isFinite(valLoss);
    if (hasDiverged && !this.#hasDiverged) {
      this.listener({
        kind: "status",
        text:
          `the model has diverged: after step ${step} its validation loss is ${valLoss}. Its checkpoints push no earlier one ` +
          "out; go on from one of those with a lower optimizer.learningRate, a longer optimizer.schedule.warmup, a smaller " +
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
    this.#metrics.write(metrics);
    if (reason !== undefined) {
      this.listener({ kind: "status", text: `step ${committed.step} was skipped: ${reason}` });
    }
    this.listener({ kind: "step", metrics });
  }
}

/** An event of the membership in words. */
function describe(event: Exclude<DistEvent, { kind: "step" | "evaluated" | "saved" }>): string {
  switch (event.kind) {
    case "waiting":
      return event.reason;
    case "joined":
      return `${event.member} joined, ${event.members} there`;
    case "refused":
      return `${event.member} was refused: ${event.reasons.join("; ")}`;
    case "took over":
      return `this coordinator (term ${event.term}) takes over after step ${event.step}, with ${
        event.members.join(", ")
      }`;
    case "no lease":
      return "the NATS server has no JetStream for this user: a coordinator that is frozen and wakes up is noticed late";
    case "mixed":
      return `${event.member} computes with ${event.numerics}, the run with ${event.runsNumerics}: admitted, since ` +
        "dist.mixed is true; the result now depends on who computes what";
    case "collecting":
      return `the checkpoint of step ${event.step} comes from ${event.member}: ${
        Math.floor(100 * event.share)
      } %`;
    case "joining":
      return `${event.member} takes over the state of step ${event.step} from ${event.donor}`;
    case "unsaved":
      return `the run goes on after step ${event.step} without its checkpoint: ${event.error}`;
    case "unkept":
      return `what ${event.member} keeps for itself of step ${event.step} is not saved: ${event.error}`;
    case "residualsDropped":
      return `residuals of ${event.holder} are dropped: ${event.reason}`;
    case "reducerJoined":
      return `${event.reducer} averages from the next step on, reducers: ${event.reducers}`;
    case "reducerLeft": {
      const { reducer, reducers, error } = event;
      return `${reducer} left, reducers: ${reducers}${error === undefined ? "" : `: ${error}`}`;
    }
    case "dropped": {
      const { member, steps: [first, last], microBatches: [lo, hi] } = event;
      return `the round of steps ${first} to ${last} goes on without ${member}: micro-batches ${lo} to ${
        hi - 1
      } of each ` +
        "are dropped";
    }
    case "left": {
      const { member, members, error } = event;
      return `${member} left, ${members} there${error === undefined ? "" : `: ${error}`}`;
    }
  }
}

/**
 * What a run reports: events to the person who watches it, lines to the files in its folder. The tools turn events into text;
 * nothing in `src/` prints.
 *
 * @module
 */

import { errorMessage } from "../../errors.ts";
import type { RecordedEvent, RunHappening } from "./events.ts";
import { happeningOf, textOf } from "./happenings.ts";
import { toMilliseconds } from "./members.ts";
import type { RunFolder } from "./run_folder.ts";
import type { Summary } from "./summary.ts";
import type { EvaluationMetrics, MetricsRecord, StepMetrics } from "./metrics.ts";
import { changedBy, type ChangesBeforeStep, replayRecordOf } from "./replay_record.ts";
import type { TensorBoardLog } from "./tensorboard.ts";
import type { CommittedStep, DistEvent, RunOutcome } from "../../dist/mod.ts";

/** One thing that happened in a run. */
export type RunEvent =
  /** A line for people: fetching, waiting. */
  | { kind: "status"; text: string }
  /** A step was committed: a line of `metrics.jsonl`. */
  | { kind: "step"; metrics: StepMetrics }
  /** An evaluation ended: another one. */
  | { kind: "evaluated"; metrics: EvaluationMetrics }
  /** Something else happened: a line of `events.jsonl`, and one for people where they need it. */
  | { kind: "happened"; event: RecordedEvent; text?: string }
  /** The run ended, at its last step or at a signal. */
  | { kind: "finished"; summary: Summary };

/** Takes the events of a run. */
export type RunListener = (event: RunEvent) => void;

/** Writes what happened into the run's `events.jsonl`, and tells it. Returns the line. */
export function recordHappening(
  folder: RunFolder,
  listener: RunListener,
  happening: RunHappening,
): RecordedEvent {
  const event: RecordedEvent = { at: timeNow(), ...happening };
  const problem = folder.events.add(event);
  if (problem !== undefined) listener({ kind: "status", text: problem });
  const text = textOf(happening);
  listener({ kind: "happened", event, ...(text === undefined ? {} : { text }) });
  return event;
}

/** ISO 8601, UTC. */
function timeNow(): string {
  return new Date().toISOString();
}

/** Writes the events of a run into its folder, and passes them on. */
export class RunLog implements Disposable {
  #files: ReturnType<RunFolder["openLog"]>;
  /** For how long the run had trained before this start, in seconds. */
  #before: number;
  /** The last step that was committed. */
  #step: number;
  /** When the first step of this start opened, ms. */
  #started: number | undefined;
  /** Whether the last evaluation was not finite. */
  #hasDiverged = false;
  #changes: ChangesBeforeStep = {};

  /**
   * @param folder where everything is written
   * @param learningRate of a step
   * @param listener gets every event of the run
   * @param tensorBoard gets metrics and samples, and is closed with the log
   */
  constructor(
    private readonly folder: RunFolder,
    private readonly learningRate: (step: number) => number,
    private readonly listener: RunListener,
    private readonly tensorBoard?: TensorBoardLog,
  ) {
    this.#files = folder.openLog();
    const { elapsed, lastStep } = folder.record();
    this.#before = elapsed;
    this.#step = lastStep;
  }

  /**
   * Continues after a step what another process has written. That process, should it still run, can't write into the files any
   * more.
   */
  continueFrom(step: number): MetricsRecord {
    this[Symbol.dispose]();
    this.folder.discardAfter(step);
    this.#files = this.folder.openLog();
    this.#step = step;
    this.record({ event: "resumed", step });
    const record = this.folder.record();
    this.#before = record.elapsed;
    this.tensorBoard?.restart();
    return record;
  }

  /** Closes its files. */
  [Symbol.dispose](): void {
    this.tensorBoard?.[Symbol.dispose]();
    for (const file of Object.values(this.#files)) file[Symbol.dispose]();
  }

  /** Handles an event of the distribution. */
  readonly handle = (event: DistEvent): void => {
    switch (event.kind) {
      case "waiting":
        return this.say(event.reason);
      case "collecting": {
        const { step, member, share } = event;
        return this.say(
          `collects the checkpoint of step ${step} from ${member}: ${Math.floor(100 * share)} %`,
        );
      }
      case "step":
        return this.#commit(event.committed);
      case "usage":
        return this.#writeMembers(event);
      case "evaluated":
        this.#evaluated({ at: timeNow(), step: event.step, valLoss: event.valLoss });
    }
    this.#changes = changedBy(this.#changes, event);
    this.record(happeningOf(event, this.#step));
    if (event.kind === "evaluated") this.#warn(event);
  };

  /** Records what happened besides the distribution's events. */
  record(happening: RunHappening): void {
    const event = recordHappening(this.folder, this.listener, happening);
    if (event.event === "sample") this.tensorBoard?.addSample(event);
  }

  /** Writes the summary of a run that has ended. */
  async finish(outcome: RunOutcome): Promise<Summary> {
    const summary = { ...outcome, seconds: this.#elapsed() };
    await this.folder.writeSummary(summary);
    this.listener({ kind: "finished", summary });
    return summary;
  }

  #write(metrics: StepMetrics | EvaluationMetrics): void {
    this.#files.metrics.write(metrics);
    this.tensorBoard?.add(metrics);
  }

  /** For how long the run has trained, in seconds. */
  #elapsed(): number {
    return this.#before + (this.#started === undefined ? 0 : (Date.now() - this.#started) / 1000);
  }

  /** Reports a line for people that needs no record. */
  say(text: string): void {
    this.listener({ kind: "status", text });
  }

  /** Reports that the model has diverged, once until it has recovered. */
  #warn({ step, valLoss }: Pick<EvaluationMetrics, "step" | "valLoss">): void {
    const hasDiverged = !Number.isFinite(valLoss);
    if (hasDiverged && !this.#hasDiverged) {
      this.record({
        event: "warning",
        step,
        text:
          `the model has diverged: after step ${step} its validation loss is ${valLoss}. Its checkpoints replace no earlier ` +
          "one; resume from one of those with a lower optimizer.learningRate, a longer optimizer.schedule.warmup, a smaller " +
          "optimizer.clipNorm, or with dist.codec float32",
      });
    }
    this.#hasDiverged = hasDiverged;
  }

  #evaluated(metrics: EvaluationMetrics): void {
    this.#write(metrics);
    this.listener({ kind: "evaluated", metrics });
  }

  #commit(committed: CommittedStep): void {
    const { seconds, reason, computed: _, samples: __, ...common } = committed;
    const { step, tokens } = committed;
    this.#step = step;
    this.#started ??= Date.now() - seconds * 1000;
    const metrics: StepMetrics = {
      at: timeNow(),
      ...common,
      tokensPerSecond: tokens / seconds,
      lr: this.learningRate(step),
      elapsed: this.#elapsed(),
    };
    this.#files.record.write(replayRecordOf(committed, this.#changes));
    this.#changes = {};
    this.#write(metrics);
    if (reason !== undefined) this.record({ event: "skipped", step, reason });
    this.listener({ kind: "step", metrics });
  }

  /** A run continues where that can't be written. */
  #writeMembers({ seconds, members }: DistEvent & { kind: "usage" }): void {
    try {
      this.#files.members.write(toMilliseconds({ at: timeNow(), step: this.#step, seconds, members }));
    } catch (error) {
      this.say(errorMessage(error));
    }
  }
}

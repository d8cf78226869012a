/**
 * Between the distribution, which knows steps and members, and the person and the folder that want metrics.
 *
 * @module
 */

import type { CommittedStep, DistEvent, RunOutcome } from "./dist/plan.ts";
import type { RunListener } from "./run_events.ts";
import type { RunFolder, StepMetrics, Summary } from "./run_folder.ts";

/** Writes what a run tells into its folder, and hands it on. */
export class RunLog {
  #started: number | undefined; // when the first step opened, ms

  /**
   * @param folder where metrics and summary go
   * @param learningRate of a step
   * @param listener gets every event of the run
   */
  constructor(
    private readonly folder: RunFolder,
    private readonly learningRate: (step: number) => number,
    private readonly listener: RunListener,
  ) {}

  /** Takes an event of the distribution. */
  readonly hear = (event: DistEvent): void => {
    switch (event.kind) {
      case "step":
        return this.#step(event.committed);
      case "evaluated": {
        const metrics = { step: event.step, valLoss: event.valLoss };
        this.folder.writeMetrics(metrics);
        return this.listener({ kind: "evaluated", metrics });
      }
      case "saved":
        return this.#saved(event);
      default:
        return this.listener({ kind: "status", text: describe(event) });
    }
  };

  /** Writes the summary of a run that has ended. */
  async finish(outcome: RunOutcome): Promise<Summary> {
    const seconds = this.#started === undefined ? 0 : (Date.now() - this.#started) / 1000;
    const summary = { ...outcome, seconds };
    await this.folder.writeSummary(summary);
    this.listener({ kind: "finished", summary });
    return summary;
  }

  #saved({ step, elsewhere }: DistEvent & { kind: "saved" }): void {
    this.listener({ kind: "saved", step });
    if (!elsewhere) return;
    const { member, place } = elsewhere;
    this.listener({
      kind: "status",
      text: `the checkpoint of step ${step} is in ${place} on the machine of ${member}`,
    });
  }

  #step({ seconds, reason, ...committed }: CommittedStep): void {
    this.#started ??= Date.now() - seconds * 1000;
    const metrics: StepMetrics = {
      ...committed,
      tokensPerSecond: committed.tokens / seconds,
      lr: this.learningRate(committed.step),
    };
    this.folder.writeMetrics(metrics);
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
    case "joining":
      return `${event.member} takes over the state of step ${event.step} from ${event.donor}`;
    case "residualsDropped":
      return `residuals of ${event.holder} are dropped: ${event.reason}`;
    case "left": {
      const { member, members, error } = event;
      return `${member} left, ${members} there${error === undefined ? "" : `: ${error}`}`;
    }
  }
}

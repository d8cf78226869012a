/**
 * The folder of a run: `config.yaml` (resolved), `metrics.jsonl` (one line as each step or evaluation ends),
 * `summary.json` at the end, `checkpoints/`, and `changes.jsonl` where a resume changed the configuration.
 *
 * @module
 */

import { exists, remove } from "./checkpoint_folder.ts";
import type { CommittedStep, RunOutcome } from "./dist/plan.ts";
import { ConfigError, RunError, wordsOf } from "./errors.ts";

/** What `metrics.jsonl` says of a step. */
export interface StepMetrics extends Omit<CommittedStep, "seconds" | "reason"> {
  /** Counted tokens by the time from the step's opening to its commit. */
  tokensPerSecond: number;
  /** Learning rate of this step. */
  lr: number;
}

/** What `metrics.jsonl` says of an evaluation after a step. */
export interface EvaluationMetrics {
  /** The step after which it was. */
  step: number;
  /** Mean over the validation part's counted tokens, nats per token. */
  valLoss: number;
}

/** What `changes.jsonl` says of a run that goes on with another configuration: what changed after which step. */
export interface ConfigChanges {
  /** The step that it goes on after. */
  step: number;
  /** By dotted path. */
  changes: Record<string, { from: unknown; to: unknown }>;
}

/** `summary.json`: the run as a whole. */
export interface Summary extends RunOutcome {
  /** Of this start of the run, from the first step to the last. */
  seconds: number;
}

/** The folder of a run. */
export class RunFolder {
  private constructor(readonly path: string) {}

  /** A folder that was made before. */
  static at(path: string): RunFolder {
    return new RunFolder(path);
  }

  /**
   * Makes the folder of a new run.
   *
   * @throws ConfigError when it holds a run already, since nothing is ever overwritten, or can't be made
   */
  static async create(path: string, configYaml: string): Promise<RunFolder> {
    const folder = new RunFolder(path);
    try {
      await Deno.mkdir(path, { recursive: true });
      await createFile(folder.config, configYaml);
      await Deno.writeTextFile(folder.file("metrics.jsonl"), "");
    } catch (error) {
      throw new ConfigError([
        error instanceof Deno.errors.AlreadyExists
          ? `machine.out: ${path} holds a run already; name another folder with --out, or go on with it: --resume ${path}`
          : `machine.out: the folder ${path} can't be made (${(error as Error).message})`,
      ]);
    }
    return folder;
  }

  /** Whether it holds a run. */
  exists(): Promise<boolean> {
    return exists(this.config);
  }

  /**
   * Prepares for going on after `step`: later lines of the metrics move to `metrics.discarded.jsonl`, since those steps are
   * done again.
   */
  async discardAfter(step: number): Promise<void> {
    const text = await this.metricsText();
    const lines = text.split("\n").filter((line) => line);
    const discarded = lines.filter((line) => stepOf(line) > step);
    if (discarded.length === 0) return;
    const append = { append: true };
    await Deno.writeTextFile(this.file("metrics.discarded.jsonl"), discarded.join("\n") + "\n", append);
    const kept = lines.filter((line) => stepOf(line) <= step);
    await replaceFile(this.file("metrics.jsonl"), kept.map((line) => line + "\n").join(""));
  }

  /** Adds a line to `changes.jsonl`, and replaces `config.yaml`. */
  async writeChanges(changes: ConfigChanges, configYaml: string): Promise<void> {
    const append = { append: true };
    await Deno.writeTextFile(this.file("changes.jsonl"), JSON.stringify(changes) + "\n", append);
    await replaceFile(this.config, configYaml);
  }

  /** Where the configuration is. */
  get config(): string {
    return this.file("config.yaml");
  }

  /** Where checkpoints are. */
  get checkpoints(): string {
    return this.file("checkpoints");
  }

  /** Adds a line to `metrics.jsonl`. */
  writeMetrics(metrics: StepMetrics | EvaluationMetrics): void {
    const path = this.file("metrics.jsonl");
    try {
      Deno.writeTextFileSync(path, JSON.stringify(metrics) + "\n", { append: true });
    } catch (error) {
      throw new RunError(
        `The metrics of step ${metrics.step} can't be written to ${path}: ${wordsOf(error)}`,
      );
    }
  }

  /** Validation losses by step, from `metrics.jsonl`; none where there is no such file. */
  async validationLosses(): Promise<Map<number, number>> {
    const losses = new Map<number, number>();
    const text = await this.metricsText();
    for (const line of text.split("\n").filter((line) => line.includes('"valLoss"'))) {
      if (stepOf(line) === Infinity) continue; // half a line
      const { step, valLoss } = JSON.parse(line) as EvaluationMetrics;
      losses.set(step, valLoss);
    }
    return losses;
  }

  /** Writes `summary.json`. */
  async writeSummary(summary: Summary): Promise<void> {
    const path = this.file("summary.json");
    try {
      await replaceFile(path, JSON.stringify(summary, null, 2) + "\n");
    } catch (error) {
      throw new RunError(`The run is complete, but ${path} can't be written: ${wordsOf(error)}`);
    }
  }

  /** What `metrics.jsonl` says; a run that was killed at its very beginning, and a folder of another machine, have none. */
  private async metricsText(): Promise<string> {
    const path = this.file("metrics.jsonl");
    return await exists(path) ? await Deno.readTextFile(path) : "";
  }

  private file(name: string): string {
    return `${this.path}/${name}`;
  }
}

/** The step of a line of metrics; a torn last line counts as discarded. */
function stepOf(line: string): number {
  try {
    return (JSON.parse(line) as { step: number }).step;
  } catch {
    return Infinity;
  }
}

/** Writes a small file that was not there: all of it or nothing. Throws AlreadyExists. */
async function createFile(path: string, text: string): Promise<void> {
  try {
    await Deno.writeTextFile(`${path}.tmp`, text);
    await Deno.link(`${path}.tmp`, path); // unlike a rename it replaces nothing
  } finally {
    await remove(`${path}.tmp`);
  }
}

/** Writes a small file so that a reader finds the old text or the new one, never half of it. */
async function replaceFile(path: string, text: string): Promise<void> {
  await Deno.writeTextFile(`${path}.tmp`, text);
  await Deno.rename(`${path}.tmp`, path);
}

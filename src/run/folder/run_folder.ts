/**
 * The folder of a run: `config.yaml` (resolved), `metrics.jsonl` (one line as each step or evaluation ends), `record.jsonl` (what a
 * replay of each step needs), `members.jsonl` (how members spend their time), `events.jsonl` (what else happened), `summary.json` at
 * the end, `checkpoints/`, `residuals/` with a lossy codec, `changes.jsonl` where a resume changed the configuration, `tensorboard/`
 * with `log.tensorboard`, `server.json` where a coordinator has a NATS server of its own, and `run.lock`.
 *
 * @module
 */

import { z } from "zod";
import { entriesIn, exists, remove } from "../../checkpoint/folder.ts";
import { ConfigError, errorMessage, RunError } from "../../errors.ts";
import { FolderLock, type FolderLockOptions } from "./lock.ts";
import {
  type EvaluationMetrics,
  isStep,
  metricsIn,
  type MetricsRecord,
  skipsOf,
  type StepMetrics,
} from "./metrics.ts";
import type { MembersLine } from "./members.ts";
import type { ReplayRecord } from "./replay_record.ts";
import { EventsFile } from "./events_file.ts";
import { discardAfter, StepLines } from "./step_lines.ts";
import { stringifyJson } from "../../json.ts";
import { type Summary, summaryIn } from "./summary.ts";

/** What `changes.jsonl` says of a run that is resumed with another configuration: what changed after which step. */
export interface ConfigChanges {
  /** The step that it is resumed from. */
  step: number;
  /** By dotted path. */
  changes: Record<string, { from: unknown; to: unknown }>;
}

/** The NATS server of a run. */
export interface RunServer {
  /** Where it listens. */
  listen: { hostname: string; port: number };
  /** The password that clients need; earlier versions took it as a token. */
  token: string;
}

const serverSchema: z.ZodType<RunServer> = z.object({
  listen: z.object({ hostname: z.string().min(1), port: z.int().min(0).max(65535) }),
  token: z.string().min(1),
});

/** What grows with the steps of a run, and is cut back to the step that it is resumed from. */
const STEP_FILES = ["metrics.jsonl", "record.jsonl", "members.jsonl"] as const;

/** The folder of a run. */
export class RunFolder {
  private constructor(readonly path: string) {}

  /** A folder that was made before. */
  static at(path: string): RunFolder {
    return new RunFolder(path);
  }

  /**
   * Makes the folder of a new run. That of a run that never completed a step holds nothing that could be lost, and is used again.
   *
   * @throws ConfigError when it holds a run already, since nothing is ever overwritten, or can't be made
   */
  static async create(path: string, configYaml: string): Promise<RunFolder> {
    const folder = new RunFolder(path);
    try {
      await Deno.mkdir(path, { recursive: true });
      if (await folder.#isUnused()) await remove(folder.config);
      await createFile(folder.config, configYaml);
      for (const name of [...STEP_FILES, "events.jsonl"]) await Deno.writeTextFile(folder.file(name), "");
    } catch (error) {
      throw new ConfigError([
        error instanceof Deno.errors.AlreadyExists
          ? `machine.out: ${path} holds a run already; name another folder with --out, or resume it with --resume ${path}`
          : `machine.out: the folder ${path} can't be made (${(error as Error).message})`,
      ]);
    }
    return folder;
  }

  /** Whether it holds a run. */
  exists(): Promise<boolean> {
    return exists(this.config);
  }

  /** Whether the run in it has left neither a step nor a checkpoint. */
  async #isUnused(): Promise<boolean> {
    const isEmpty = await exists(this.file("metrics.jsonl")) && this.metricsLines().length === 0;
    return isEmpty && this.events.lastSave() === undefined &&
      (await entriesIn(this.checkpoints)).length === 0;
  }

  /**
   * Takes the lock of the folder, which is made where it is not there.
   *
   * @throws {ConfigError} where another process uses it, or it can't be written to
   */
  async lock(options: FolderLockOptions = {}): Promise<FolderLock> {
    try {
      await Deno.mkdir(this.path, { recursive: true });
      return await FolderLock.take(this.path, options);
    } catch (error) {
      if (error instanceof ConfigError || options.signal?.aborted) throw error;
      throw new ConfigError([`machine.out: ${this.path} can't be written to (${errorMessage(error)})`]);
    }
  }

  /** What happened to the run besides its steps. */
  get events(): EventsFile {
    return new EventsFile(this.file("events.jsonl"));
  }

  /** Prepares for continuing from `step`: what is on record of later steps is set aside, since those are done again. */
  discardAfter(step: number): void {
    for (const name of STEP_FILES) discardAfter(this.file(name), step);
  }

  /** Records that the run is resumed from `step`: what is on record of later steps does not count any more. */
  resumeFrom(step: number): void {
    this.discardAfter(step);
    this.events.add({ at: new Date().toISOString(), event: "resumed", step });
  }

  /** The lines of `metrics.jsonl`; a torn last line is left out. */
  metrics(): (StepMetrics | EvaluationMetrics)[] {
    return metricsIn(this.metricsLines());
  }

  /** What is on record of the steps so far. */
  record(): MetricsRecord {
    const lines = this.metrics();
    const steps = lines.filter(isStep);
    const last = steps.at(-1);
    const evaluation = lines.findLast((line): line is EvaluationMetrics => "valLoss" in line);
    return {
      tokens: steps.reduce((sum, { tokens }) => sum + tokens, 0),
      loss: last?.loss ?? NaN,
      evaluation: evaluation && { step: evaluation.step, valLoss: evaluation.valLoss },
      skips: skipsOf(steps),
      elapsed: last?.elapsed ?? 0,
      workers: last?.workers ?? 0,
      lastStep: last?.step ?? 0,
    };
  }

  /** Writes down where the run's own NATS server is, with its token, for a failover. Only this user may read it. */
  writeServer(server: RunServer): void {
    const path = this.file("server.json");
    Deno.writeTextFileSync(`${path}.tmp`, JSON.stringify(server) + "\n", { mode: 0o600 });
    Deno.renameSync(`${path}.tmp`, path);
  }

  /** Where the run's own NATS server was; undefined where it had none. */
  readServer(): RunServer | undefined {
    const text = this.read("server.json");
    if (text === undefined) return undefined;
    try {
      return serverSchema.parse(JSON.parse(text));
    } catch {
      throw new ConfigError([
        `${
          this.file("server.json")
        } is damaged: delete it, and name with --listen the address where the workers look for the server`,
      ]);
    }
  }

  /** Adds a line to `changes.jsonl`. */
  async addChanges(changes: ConfigChanges): Promise<void> {
    const append = { append: true };
    await Deno.writeTextFile(this.file("changes.jsonl"), JSON.stringify(changes) + "\n", append);
  }

  /** Replaces `config.yaml`. */
  async replaceConfig(configYaml: string): Promise<void> {
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

  /** Where residuals of a lossy codec are. */
  get residuals(): string {
    return this.file("residuals");
  }

  /** Where TensorBoard's event files are. */
  get tensorboard(): string {
    return this.file("tensorboard");
  }

  /** Opens the files that grow with the steps, for more lines. */
  openLog() {
    return {
      metrics: new StepLines<StepMetrics | EvaluationMetrics>(this.file("metrics.jsonl"), "metrics"),
      record: new StepLines<ReplayRecord>(this.file("record.jsonl"), "record"),
      members: new StepLines<MembersLine>(this.file("members.jsonl"), "time of the members"),
    };
  }

  /**
   * Validation losses by step, from `metrics.jsonl`; none where there is no such file. NaN after steps without an evaluation whose
   * next step found losses or gradients that are not finite.
   */
  validationLosses(): Map<number, number> {
    const lines = metricsIn(this.metricsLines().filter((line) => /"valLoss"|"applied":false/.test(line)));
    const losses = new Map<number, number>();
    // A skipped step has computed with the state before it, and leaves that state as it was.
    for (const { step } of lines.filter(isStep)) losses.set(step - 1, NaN).set(step, NaN);
    for (const line of lines) if (!isStep(line)) losses.set(line.step, line.valLoss);
    return losses;
  }

  /** `summary.json`; undefined where the run has not ended, or it can't be read. */
  readSummary(): Summary | undefined {
    const text = this.read("summary.json");
    return text === undefined ? undefined : summaryIn(text);
  }

  /** Writes `summary.json`. */
  async writeSummary(summary: Summary): Promise<void> {
    const path = this.file("summary.json");
    try {
      await replaceFile(path, stringifyJson(summary, 2) + "\n");
    } catch (error) {
      throw new RunError(`The run is complete, but ${path} can't be written: ${errorMessage(error)}`);
    }
  }

  /** The lines of `metrics.jsonl`; a run that was killed at its very beginning, and a folder of another machine, have none. */
  private metricsLines(): string[] {
    return this.read("metrics.jsonl")?.split("\n").filter((line) => line) ?? [];
  }

  private read(name: string): string | undefined {
    try {
      return Deno.readTextFileSync(this.file(name));
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }

  private file(name: string): string {
    return `${this.path}/${name}`;
  }
}

/** Writes a small file atomically where there is none. Throws AlreadyExists. */
async function createFile(path: string, text: string): Promise<void> {
  try {
    await Deno.writeTextFile(`${path}.tmp`, text);
    await Deno.link(`${path}.tmp`, path); // unlike a rename it replaces nothing
  } finally {
    await remove(`${path}.tmp`);
  }
}

/** Writes a small file atomically (temporary name, then rename): a reader finds the old text or the new one. */
async function replaceFile(path: string, text: string): Promise<void> {
  await Deno.writeTextFile(`${path}.tmp`, text);
  await Deno.rename(`${path}.tmp`, path);
}

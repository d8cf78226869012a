/** Runs for the tests of whole runs: a small model on a text of their own, and what a run leaves in its folder. */

import type { ConfigInput } from "../../../src/config/config.ts";
import type { EvaluationMetrics, StepMetrics } from "../../../src/run/folder/metrics.ts";
import type { RecordedEvent } from "../../../src/run/folder/events.ts";
import { type ReplayRecord, replayRecordSchema } from "../../../src/run/folder/replay_record.ts";
import { mapValues } from "../../../src/records.ts";

/** A folder that is removed after the test, with a text in it. */
export class Workplace implements AsyncDisposable {
  private constructor(readonly folder: string) {}

  /** Makes the folder and a text of 20,000 bytes with some structure, the same every time. */
  static async open(): Promise<Workplace> {
    const place = new Workplace(await Deno.makeTempDir({ prefix: "flashmob-test-" }));
    await Deno.writeTextFile(
      place.text,
      "the quick brown fox jumps over the lazy dog; 0123456789\n".repeat(360),
    );
    return place;
  }

  get text(): string {
    return `${this.folder}/text.txt`;
  }

  /** The folder of a run. */
  run(name: string): string {
    return `${this.folder}/${name}`;
  }

  /**
   * A small configuration; `machine.out` is the folder of the run named. Its rate is constant, so that a run that is lengthened
   * has the bits of one that was as long from the beginning.
   */
  config(name: string, changes: { [Section in keyof ConfigInput]?: ConfigInput[Section] } = {}): ConfigInput {
    return {
      model: { dim: 16, depth: 2, groupSize: 8, queryKeyDim: 8, ...changes.model },
      data: { source: this.text, seqLen: 24, ...changes.data },
      train: { steps: 6, batch: 6, microBatch: 1, ...changes.train },
      optimizer: { learningRate: 1e-3, schedule: { kind: "constant" }, ...changes.optimizer },
      eval: { every: 3, windows: 5, samples: [], ...changes.eval },
      checkpoint: changes.checkpoint,
      dist: changes.dist,
      log: changes.log,
      machine: { workers: 0, out: this.run(name), ...changes.machine },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.folder, { recursive: true });
  }
}

/** The lines of a run's `metrics.jsonl`. */
export function metricsOf(folder: string): { steps: StepMetrics[]; evaluations: EvaluationMetrics[] } {
  const lines = Deno.readTextFileSync(`${folder}/metrics.jsonl`).trim().split("\n")
    .map((line) => JSON.parse(line) as StepMetrics | EvaluationMetrics);
  return {
    steps: lines.filter((line): line is StepMetrics => "loss" in line),
    evaluations: lines.filter((line): line is EvaluationMetrics => "valLoss" in line),
  };
}

/** The lines of a run's `events.jsonl`. */
export function eventsOf(folder: string): RecordedEvent[] {
  return Deno.readTextFileSync(`${folder}/events.jsonl`).trim().split("\n").map((line) => JSON.parse(line));
}

/** A line of `record.jsonl`, with the micro-batches of each member as a list. */
export type StepRecord = Omit<ReplayRecord, "computed"> & { computed: Record<string, number[]> };

/** The lines of a run's `record.jsonl`. */
export function recordOf(folder: string): StepRecord[] {
  return Deno.readTextFileSync(`${folder}/record.jsonl`).trim().split("\n").map((line) => {
    const record = replayRecordSchema.parse(JSON.parse(line));
    const listOf = ([lo, hi]: readonly [number, number]) => Array.from({ length: hi - lo }, (_, i) => lo + i);
    return { ...record, computed: mapValues(record.computed, (ranges) => ranges.flatMap(listOf)) };
  });
}

/** What a run computed from in each step: the checksums of the ids. */
export function samplesOf(folder: string): (number | null)[][] {
  return recordOf(folder).map(({ samples }) => samples);
}

/** The validation losses of a run, by step. */
export function valLossesOf(folder: string): [step: number, valLoss: number][] {
  return metricsOf(folder).evaluations.map(({ step, valLoss }) => [step, valLoss]);
}

/** A process of this machine. */
export interface ProcessRow {
  pid: number;
  parent: number;
  /** Resident memory in bytes. */
  resident: number;
  command: string;
}

/** All processes, as `ps` lists them. */
export function processes(): ProcessRow[] {
  const { stdout } = new Deno.Command("ps", { args: ["-wweo", "pid=,ppid=,rss=,args="] }).outputSync();
  return new TextDecoder().decode(stdout).trim().split("\n").map((line) => {
    const [pid, parent, kilobytes, ...command] = line.trim().split(/\s+/);
    return {
      pid: Number(pid),
      parent: Number(parent),
      resident: Number(kilobytes) * 1024,
      command: command.join(" "),
    };
  });
}

/** The processes that a process started, and those that they started. */
export function descendants(pid: number): ProcessRow[] {
  const all = processes();
  const below = (parent: number): ProcessRow[] =>
    all.filter((row) => row.parent === parent).flatMap((row) => [row, ...below(row.pid)]);
  return below(pid);
}

/** Whether none of these processes is there any more. */
export function isGone(pids: number[]): boolean {
  return !processes().some(({ pid }) => pids.includes(pid));
}

/** Waits until something holds. */
export async function until(what: string, holds: () => boolean, seconds = 30): Promise<void> {
  const deadline = Date.now() + seconds * 1000;
  while (!holds()) {
    if (Date.now() > deadline) throw new Error(`waited ${seconds} s in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

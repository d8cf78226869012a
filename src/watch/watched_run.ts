/**
 * A run as its folder tells it, read as far as the folder goes: the curves, what happened, its members' time, and the one line that
 * a list of runs has of it.
 *
 * @module
 */

import type { RecordedEvent, RunCard } from "../run/folder/events.ts";
import { saysHeld } from "../run/folder/lock.ts";
import type { MembersLine } from "../run/folder/members.ts";
import { isRecord } from "../records.ts";
import { fromDefaults, readConfig, valueAt, type WrittenConfig } from "./differences.ts";
import { EventLog, type Outcome } from "./event_log.ts";
import { infoOf, LineTail, readSmallFile } from "./line_tail.ts";
import type { RunPlace } from "./listing.ts";
import { type StepColumns, StepTable, type ValidationColumns } from "./steps.ts";
import { type UsageColumns, UsageTable } from "./usage.ts";

/** "ended": it does not run, and nothing says why. */
export type RunState = "running" | Outcome | "ended";

/** A run in a list. What is not known is null or NaN, which JSON writes as null. */
export interface RunItem {
  /** Its folder's, below the folder of runs. */
  name: string;
  state: RunState;
  /** ISO 8601. */
  started: string | null;
  /** When its files last changed, ISO 8601. */
  updated: string | null;
  /** The last step, and the last one wanted. */
  step: number;
  steps: number;
  /** Of the last step, nats per token. */
  loss: number;
  /** Of the last evaluation. */
  valLoss: number;
  /** The evaluation with the lowest loss. */
  best: { step: number; valLoss: number } | null;
  /** Over the last steps. */
  tokensPerSecond: number;
  /** For how long it has trained, seconds. */
  elapsed: number;
  /** Of the last step; 0 for a run in one process. */
  workers: number;
  parameters: number | null;
  /** From the defaults, by dotted path. */
  differs: Record<string, unknown>;
}

/** All that a picture of a run shows, thinned. */
export interface Curves {
  columns: StepColumns;
  skipped: number[];
  validation: ValidationColumns;
  usage: UsageColumns;
}

/** How far who looks has seen a run. */
export interface Cursor {
  /** Rises whenever steps that were seen do not count any more. */
  epoch: number;
  steps: number;
  validation: number;
  events: number;
  usage: number;
}

/** Bytes that are read of the two files that only their ends matter of. */
const MOST_OF_RECORDS = 64 * 1024 * 1024;

/** A run whose folder is read as it grows. */
export class WatchedRun {
  #steps = new StepTable();
  #events = new EventLog();
  #usage = new UsageTable();
  #epoch = 0;
  #config: WrittenConfig = {};
  #differs: Record<string, unknown> = {};
  #configRead = "";
  #item: RunItem | undefined;
  readonly #metricsTail: LineTail;
  readonly #eventsTail: LineTail;
  readonly #membersTail: LineTail;
  #reading: Promise<void> | undefined;

  /** Reads nothing yet. */
  constructor(readonly place: RunPlace) {
    this.#metricsTail = new LineTail(`${place.path}/metrics.jsonl`);
    this.#eventsTail = new LineTail(`${place.path}/events.jsonl`, MOST_OF_RECORDS);
    this.#membersTail = new LineTail(`${place.path}/members.jsonl`, MOST_OF_RECORDS);
  }

  /** Reads what the folder has got since the last time; those who ask meanwhile wait for the same reading. */
  refresh(): Promise<void> {
    return this.#reading ??= this.#read().finally(() => this.#reading = undefined);
  }

  /** Its line in a list. */
  get item(): RunItem {
    if (!this.#item) throw new Error("refresh() comes first");
    return this.#item;
  }

  /** Its configuration as it is written. */
  get config(): WrittenConfig {
    return this.#config;
  }

  /** What it is, as it said at its last start. */
  get card(): RunCard | null {
    return this.#events.card ?? null;
  }

  /** The last events, and how many there were before. */
  get events(): { events: readonly RecordedEvent[]; eventsBefore: number } {
    const { latest, count } = this.#events;
    return { events: latest, eventsBefore: count - latest.length };
  }

  /** How its members have spent the last seconds. */
  get members(): MembersLine | null {
    return this.#usage.last ?? null;
  }

  /** How its members have spent their time. */
  get usage(): UsageTable {
    return this.#usage;
  }

  /** Its steps. */
  get steps(): StepTable {
    return this.#steps;
  }

  /** What has been read so far. */
  get cursor(): Cursor {
    return {
      epoch: this.#epoch,
      steps: this.#steps.length,
      validation: this.#steps.validation.step.length,
      events: this.#events.count,
      usage: this.#usage.length,
    };
  }

  /**
   * The curves from step to step, both included.
   *
   * @param points that a curve has at most
   */
  curves(points: number, from = 0, to = Infinity): Curves {
    const isShown = (step: number) => step >= from && step <= to;
    const { validation } = this.#steps;
    const stride = Math.ceil(validation.step.length / points), last = validation.step.length - 1;
    const end = to === Infinity ? this.#steps.length : this.#steps.indexOf(to + 1);
    return {
      columns: this.#steps.thin(points, this.#steps.indexOf(from), end),
      skipped: this.#steps.skipped.filter(isShown).slice(-points),
      validation: rowsOf(
        validation,
        (row) => isShown(validation.step[row]) && (row === last || row % stride === 0),
      ),
      usage: this.#usage.thin(points),
    };
  }

  /** The evaluations from number `from` on. */
  validationSince(from: number): ValidationColumns {
    return rowsOf(this.#steps.validation, (row) => row >= from);
  }

  /** The events from number `from` on, as far as they are held. */
  eventsSince(from: number): RecordedEvent[] {
    return this.#events.since(from);
  }

  async #read(): Promise<void> {
    await this.#metricsTail.read(() => {
      if (this.#steps.length > 0) this.#epoch++;
      this.#steps = new StepTable();
    }, (line) => this.#steps.add(line));
    await this.#eventsTail.read(() => {
      if (this.#events.count > 0) this.#epoch++;
      this.#events = new EventLog();
    }, (line) => this.#events.add(line));
    await this.#membersTail.read(() => {
      if (this.#usage.length > 0) this.#epoch++;
      this.#usage = new UsageTable();
    }, (line) => this.#usage.add(line));
    this.#readConfig();
    this.#item = this.#itemNow();
  }

  #readConfig(): void {
    const text = readSmallFile(`${this.place.path}/config.yaml`) ?? "";
    if (text === this.#configRead) return;
    this.#configRead = text;
    this.#config = readConfig(text) ?? {};
    this.#differs = fromDefaults(this.#config);
  }

  #itemNow(): RunItem {
    const { path, name } = this.place;
    const changed = ["config.yaml", "metrics.jsonl", "events.jsonl"].map((file) =>
      changedAt(`${path}/${file}`)
    );
    const latest = changed.filter((time) => time !== undefined);
    const [configured] = changed;
    const number = (at: string) => Number(valueAt(this.#config, at) ?? 0);
    const firstStep = this.#steps.value("at", 0);
    const steps = this.#steps, { valLoss } = steps.validation;
    return {
      name,
      state: this.#state(),
      started: this.#events.first ?? isoTime(firstStep * 1000) ?? isoTime(configured),
      updated: isoTime(latest.length > 0 ? Math.max(...latest) : undefined),
      step: steps.value("step", -1) || 0,
      steps: number("train.steps"),
      loss: steps.value("loss", -1),
      valLoss: valLoss.at(-1) ?? NaN,
      best: steps.best(),
      tokensPerSecond: steps.speed(),
      elapsed: steps.value("elapsed", -1) || 0,
      workers: steps.length > 0 ? steps.value("workers", -1) : number("machine.workers"),
      parameters: this.card?.model.parameters ?? null,
      differs: this.#differs,
    };
  }

  #state(): RunState {
    const lock = `${this.place.path}/run.lock`;
    const text = readSmallFile(lock, 1024);
    if (text !== undefined && saysHeld(text, Date.now() - (changedAt(lock) ?? 0))) return "running";
    if (this.#events.outcome) return this.#events.outcome;
    const summary = readSmallFile(`${this.place.path}/summary.json`);
    return outcomeIn(summary ?? "", this.#steps.value("step", -1) || 0) ?? "ended";
  }
}

/** How a run ended by its summary; undefined where that is of an earlier end. */
function outcomeIn(summary: string, lastStep: number): Outcome | undefined {
  try {
    const value: unknown = JSON.parse(summary);
    if (!isRecord(value) || typeof value.steps !== "number" || value.steps < lastStep) return undefined;
    return value.interrupted === true ? "stopped" : "done";
  } catch {
    return undefined;
  }
}

/** When a file was last changed, ms since 1970; undefined where it is not there. */
function changedAt(path: string): number | undefined {
  return infoOf(path)?.mtime?.getTime();
}

function isoTime(ms: number | undefined): string | null {
  return ms === undefined || !Number.isFinite(ms) ? null : new Date(ms).toISOString();
}

/** The rows of columns whose index is wanted. */
function rowsOf(columns: ValidationColumns, isWanted: (row: number) => boolean): ValidationColumns {
  const { step, at, elapsed, tokens, valLoss } = columns;
  const pick = (column: number[]) => column.filter((_, row) => isWanted(row));
  return {
    step: pick(step),
    at: pick(at),
    elapsed: pick(elapsed),
    tokens: pick(tokens),
    valLoss: pick(valLoss),
  };
}

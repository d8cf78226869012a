/**
 * The steps and evaluations of a run as columns of numbers, which grow with `metrics.jsonl`, and thinned copies of them for a
 * picture: 100,000 steps are held in 9 MB and thinned within milliseconds.
 *
 * @module
 */

import { isRecord } from "../records.ts";

const NAMES = [
  ...["step", "at", "elapsed", "tokens", "loss", "gradNorm", "lr"] as const,
  ...["seconds", "stepTokens", "bytes", "workers"] as const,
];

/** What is held of each step, NaN where the file does not say it. */
type Row = Record<typeof NAMES[number], number>;

/** Columns of a picture, all of one length; JSON writes NaN as null. */
export interface StepColumns {
  /** The last step of each bucket. */
  step: number[];
  /** When it was committed, seconds since 1970. */
  at: number[];
  /** For how long the run had trained, seconds. */
  elapsed: number[];
  /** Tokens up to this step. */
  tokens: number[];
  /** Mean loss of the bucket's steps, nats per token. */
  loss: number[];
  lossMin: number[];
  lossMax: number[];
  /** Mean norm of the gradients. */
  gradNorm: number[];
  /** Learning rate. */
  lr: number[];
  tokensPerSecond: number[];
  secondsPerStep: number[];
  /** All-reduce payload of a step, sent and received. */
  bytes: number[];
  workers: number[];
}

/** Evaluations, as columns. */
export interface ValidationColumns {
  step: number[];
  at: number[];
  elapsed: number[];
  tokens: number[];
  valLoss: number[];
}

/** All steps of a run. */
export class StepTable {
  readonly #columns: Record<keyof Row, Float64Array<ArrayBuffer>>;
  /** Steps on record. */
  length = 0;
  /** Steps that were skipped, in order. */
  readonly skipped: number[] = [];
  /** Evaluations, in order. */
  readonly validation: ValidationColumns = { step: [], at: [], elapsed: [], tokens: [], valLoss: [] };

  /** No steps. */
  constructor() {
    this.#columns = Object.fromEntries(NAMES.map((name) => [name, new Float64Array(256)])) as Record<
      keyof Row,
      Float64Array<ArrayBuffer>
    >;
  }

  /** Adds a line of `metrics.jsonl`; one that is torn or says nothing of a step is passed over. */
  add(line: string): void {
    let found: unknown;
    try {
      found = JSON.parse(line);
    } catch {
      return;
    }
    if (!isRecord(found) || !Number.isSafeInteger(found.step)) return;
    if ("valLoss" in found) this.#addEvaluation(found);
    else if ("loss" in found) this.#addStep(found);
  }

  /** A value of a step by its index, from 0 on; of the last one by -1. NaN where there is none. */
  value(name: keyof Row, index: number): number {
    const at = index < 0 ? this.length + index : index;
    return at >= 0 && at < this.length ? this.#columns[name][at] : NaN;
  }

  /** The evaluation with the lowest loss. */
  best(): { step: number; valLoss: number } | null {
    const { step, valLoss } = this.validation;
    let best = -1;
    for (const [i, loss] of valLoss.entries()) {
      if (Number.isFinite(loss) && (best < 0 || loss < valLoss[best])) best = i;
    }
    return best < 0 ? null : { step: step[best], valLoss: valLoss[best] };
  }

  /** Tokens per second over the last steps. */
  speed(steps = 50): number {
    const from = Math.max(0, this.length - steps);
    const time = sumOf(this.#columns.seconds, from, this.length);
    return time > 0 ? sumOf(this.#columns.stepTokens, from, this.length) / time : NaN;
  }

  /** The index of the first step that is at least `step`. */
  indexOf(step: number): number {
    let low = 0, high = this.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#columns.step[middle] < step) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Steps `from` up to `to`, by index, in at most `points` buckets of equally many. */
  thin(points: number, from = 0, to = this.length): StepColumns {
    const size = Math.max(1, Math.ceil((to - from) / points));
    const thinned: StepColumns = {
      ...{ step: [], at: [], elapsed: [], tokens: [], loss: [], lossMin: [], lossMax: [], gradNorm: [] },
      ...{ lr: [], tokensPerSecond: [], secondsPerStep: [], bytes: [], workers: [] },
    };
    for (let start = from; start < to; start += size) {
      this.#addBucket(thinned, start, Math.min(to, start + size));
    }
    return thinned;
  }

  #addBucket(thinned: StepColumns, start: number, end: number): void {
    const { step, at, elapsed, tokens, loss, gradNorm, lr, seconds, stepTokens, bytes, workers } =
      this.#columns;
    const last = end - 1;
    const time = sumOf(seconds, start, end);
    const { mean, least, greatest } = rangeOf(loss, start, end);
    thinned.step.push(step[last]);
    thinned.at.push(rounded(at[last], 13));
    thinned.elapsed.push(rounded(elapsed[last], 9));
    thinned.tokens.push(tokens[last]);
    thinned.loss.push(rounded(mean));
    thinned.lossMin.push(rounded(least));
    thinned.lossMax.push(rounded(greatest));
    thinned.gradNorm.push(rounded(rangeOf(gradNorm, start, end).mean));
    thinned.lr.push(rounded(lr[last]));
    thinned.tokensPerSecond.push(time > 0 ? rounded(sumOf(stepTokens, start, end) / time) : NaN);
    thinned.secondsPerStep.push(rounded(rangeOf(seconds, start, end).mean));
    thinned.bytes.push(Math.round(sumOf(bytes, start, end) / (end - start)));
    thinned.workers.push(workers[last]);
  }

  #addStep(found: Record<string, unknown>): void {
    const stepTokens = numberOf(found.tokens), speed = numberOf(found.tokensPerSecond);
    const before = this.value("tokens", -1) || 0;
    this.#push({
      step: found.step as number,
      at: timeOf(found.at),
      elapsed: numberOf(found.elapsed),
      tokens: before + (stepTokens || 0),
      loss: numberOf(found.loss),
      gradNorm: numberOf(found.gradNorm),
      lr: numberOf(found.lr),
      seconds: stepTokens > 0 && speed > 0 ? stepTokens / speed : NaN,
      stepTokens,
      bytes: numberOf(found.bytesSent) + numberOf(found.bytesReceived),
      workers: numberOf(found.workers),
    });
    if (found.applied === false) this.skipped.push(found.step as number);
  }

  #addEvaluation(found: Record<string, unknown>): void {
    const { step, at, elapsed, tokens, valLoss } = this.validation;
    step.push(found.step as number);
    at.push(timeOf(found.at));
    elapsed.push(this.value("elapsed", -1) || 0);
    tokens.push(this.value("tokens", -1) || 0);
    valLoss.push(numberOf(found.valLoss));
  }

  #push(row: Row): void {
    for (const name of NAMES) {
      let column = this.#columns[name];
      if (this.length === column.length) {
        const longer = new Float64Array(2 * column.length);
        longer.set(column);
        column = this.#columns[name] = longer;
      }
      column[this.length] = row[name];
    }
    this.length++;
  }
}

/** Mean, least and greatest of what is finite; NaN where nothing is. */
function rangeOf(column: Float64Array, start: number, end: number) {
  let sum = 0, count = 0, least = Infinity, greatest = -Infinity;
  for (let i = start; i < end; i++) {
    const value = column[i];
    if (!Number.isFinite(value)) continue;
    sum += value;
    count++;
    if (value < least) least = value;
    if (value > greatest) greatest = value;
  }
  return count === 0 ? { mean: NaN, least: NaN, greatest: NaN } : { mean: sum / count, least, greatest };
}

function sumOf(column: Float64Array, start: number, end: number): number {
  let sum = 0;
  for (let i = start; i < end; i++) if (Number.isFinite(column[i])) sum += column[i];
  return sum;
}

/** With as many digits as a picture shows, which keeps answers short. */
function rounded(value: number, digits = 7): number {
  return Number.isFinite(value) ? Number(value.toPrecision(digits)) : NaN;
}

/** A number, which flashmob writes as a word where it is not finite and 0.1 wrote as null. */
function numberOf(value: unknown): number {
  if (typeof value === "number") return value;
  return typeof value === "string" ? Number(value) : NaN;
}

/** Seconds since 1970 from ISO 8601. */
function timeOf(value: unknown): number {
  return typeof value === "string" ? Date.parse(value) / 1000 : NaN;
}

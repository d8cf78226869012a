/**
 * The losses of a run as a curve of bounded size, however many steps it has.
 *
 * @module
 */

import { isRecord } from "../records.ts";
import type { LossPoint } from "./chart.ts";
import { LineTail } from "./line_tail.ts";

/** Most points that are held; even. */
const MOST = 4096;

/** The mean loss of neighbouring steps. */
interface Bucket {
  first: number;
  last: number;
  sum: number;
  count: number;
}

/** Losses as they come, in points of ever more steps each. */
export class LossCurve {
  #buckets: Bucket[] = [];
  /** Losses of a bucket. */
  #size = 1;

  /** Adds the loss of the next step; one that is not finite is left out. */
  add({ step, loss }: LossPoint): void {
    if (!Number.isFinite(loss)) return;
    const open = this.#buckets.at(-1);
    if (open && open.count < this.#size) {
      open.last = step;
      open.sum += loss;
      open.count++;
      return;
    }
    if (this.#buckets.length === MOST) this.#halve();
    this.#buckets.push({ first: step, last: step, sum: loss, count: 1 });
  }

  /** The mean of each bucket at its first step, of the last one at its last. */
  get points(): LossPoint[] {
    const end = this.#buckets.length - 1;
    return this.#buckets.map(({ first, last, sum, count }, i) => ({
      step: i === end ? last : first,
      loss: sum / count,
    }));
  }

  #halve(): void {
    this.#buckets = Array.from({ length: MOST / 2 }, (_, i) => {
      const a = this.#buckets[2 * i], b = this.#buckets[2 * i + 1];
      return { first: a.first, last: b.last, sum: a.sum + b.sum, count: a.count + b.count };
    });
    this.#size *= 2;
  }
}

/** The losses in a `metrics.jsonl`, of steps that were applied; none where there is no such file. */
export function lossesIn(path: string): LossPoint[] {
  const curve = new LossCurve();
  new LineTail(path).readSync((line) => {
    const step = stepIn(line);
    if (step) curve.add(step);
  });
  return curve.points;
}

/** The step of a line; undefined for another line, or a torn one. */
function stepIn(line: string): LossPoint | undefined {
  try {
    const found: unknown = JSON.parse(line);
    if (!isRecord(found) || found.applied === false) return undefined;
    const { step, loss } = found;
    return typeof step === "number" && typeof loss === "number" ? { step, loss } : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Curves of losses in a terminal: one as a line of braille dots, or two as letters, which need no colours.
 *
 * @module
 */

/** A loss after a step. */
export interface LossPoint {
  /** From 1 on. */
  step: number;
  /** Nats per token. */
  loss: number;
}

/** Characters of the scale at the left: "12.34 ┤". */
const SCALE = 7;
/** Bits of a braille character's dots, by row and column. */
const DOTS = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];
const BRAILLE = 0x2800;

/** The steps that a chart shows. */
interface Span {
  from: number;
  to: number;
}

/** The losses that it shows. */
interface Scale {
  low: number;
  high: number;
}

/**
 * The curve of a loss, drawn with braille dots.
 *
 * @param points in the order of their steps; what is not finite is left out
 * @param width characters of a line, the scale included
 * @param height lines, the one with the steps included
 * @returns no line where fewer than two points can be drawn, or the place is too small
 *
 * @example
 * ```ts
 * import { lossChart } from "./chart.ts";
 * const points = Array.from({ length: 50 }, (_, i) => ({ step: i + 1, loss: 2 + 3 / (i + 1) }));
 * console.assert(lossChart(points, 60, 12).length === 12);
 * ```
 */
export function lossChart(points: readonly LossPoint[], width: number, height: number): string[] {
  const span = spanOf(points);
  const columns = width - SCALE, rows = height - 1;
  if (!span || columns < 8 || rows < 2) return [];
  const losses = lossesByColumn(points, span, columns * 2);
  const scale = scaleOf(losses);
  const cells = Array.from({ length: rows }, () => new Uint8Array(columns));
  let before: number | undefined;
  for (const [x, loss] of losses.entries()) {
    const y = rowOf(loss, scale, rows * 4 - 1);
    const top = Math.min(y, before ?? y), bottom = Math.max(y, before ?? y);
    for (let at = top; at <= bottom; at++) cells[at >> 2][x >> 1] |= DOTS[at & 3][x & 1];
    before = y;
  }
  const characters = (dots: number) => dots === 0 ? " " : String.fromCharCode(BRAILLE + dots);
  return framed(cells.map((row) => Array.from(row, characters).join("")), span, scale, columns);
}

/**
 * Two curves over the same steps: the first one's points are "a", the second's "b", and "*" stands where both are.
 *
 * @param width characters of a line, the scale included
 * @param height lines, the one with the steps included
 * @returns no line where fewer than two points can be drawn, or the place is too small
 */
export function lossChartOfTwo(
  a: readonly LossPoint[],
  b: readonly LossPoint[],
  width: number,
  height: number,
): string[] {
  const span = spanOf([...a, ...b]);
  const columns = width - SCALE, rows = height - 1;
  if (!span || columns < 8 || rows < 2) return [];
  const curves = [a, b].map((points) => lossesByColumn(points, span, columns));
  const scale = scaleOf(curves.flat());
  const cells = Array.from({ length: rows }, () => Array<string>(columns).fill(" "));
  for (const [i, losses] of curves.entries()) {
    for (const [x, loss] of losses.entries()) {
      if (Number.isNaN(loss)) continue;
      const row = cells[rowOf(loss, scale, rows - 1)];
      row[x] = row[x] === " " ? "ab"[i] : "*";
    }
  }
  return framed(cells.map((row) => row.join("")), span, scale, columns);
}

/** The steps from the first point that can be drawn to the last; undefined where there are not two. */
function spanOf(points: readonly LossPoint[]): Span | undefined {
  const span = { from: Infinity, to: -Infinity };
  for (const { step, loss } of points) {
    if (!Number.isFinite(loss)) continue;
    span.from = Math.min(span.from, step);
    span.to = Math.max(span.to, step);
  }
  return span.from < span.to ? span : undefined;
}

function scaleOf(losses: readonly number[]): Scale {
  const drawn = losses.filter((loss) => !Number.isNaN(loss));
  return { low: Math.min(...drawn), high: Math.max(...drawn) };
}

/** The row of a loss, counted from the top. */
function rowOf(loss: number, { low, high }: Scale, lowest: number): number {
  return high === low ? lowest : Math.round((high - loss) / (high - low) * lowest);
}

/** The mean loss in each column; between two that have one, on the line between them; NaN before the first and after the last. */
function lossesByColumn(points: readonly LossPoint[], { from, to }: Span, columns: number): number[] {
  const sums = new Float64Array(columns), counts = new Float64Array(columns);
  for (const { step, loss } of points) {
    if (!Number.isFinite(loss)) continue;
    const column = Math.round((step - from) / (to - from) * (columns - 1));
    sums[column] += loss;
    counts[column]++;
  }
  const losses = Array.from(sums, (sum, i) => counts[i] > 0 ? sum / counts[i] : NaN);
  let before = -1;
  for (let i = 0; i < columns; i++) {
    if (counts[i] === 0) continue;
    if (before >= 0) {
      for (let gap = before + 1; gap < i; gap++) {
        losses[gap] = losses[before] + (losses[i] - losses[before]) * (gap - before) / (i - before);
      }
    }
    before = i;
  }
  return losses;
}

/** The lines with a scale at the left, and steps below. */
function framed(
  lines: readonly string[],
  { from, to }: Span,
  { low, high }: Scale,
  columns: number,
): string[] {
  const last = lines.length - 1, middle = Math.round(last / 2);
  const marks = new Map([[0, high], [middle, high - (high - low) * middle / last], [last, low]]);
  const scaleAt = (row: number) => {
    const loss = high > low || row === last ? marks.get(row) : undefined;
    return loss === undefined ? `${" ".repeat(SCALE - 1)}│` : `${numberIn(SCALE - 2, loss)} ┤`;
  };
  const first = String(from), end = `step ${to}`;
  const steps = first + end.padStart(Math.max(end.length + 1, columns - first.length));
  return [...lines.map((line, row) => (scaleAt(row) + line).trimEnd()), " ".repeat(SCALE) + steps];
}

/** A number at the right of so many characters. */
function numberIn(width: number, value: number): string {
  const digits = Math.max(0, Math.min(3, width - 1 - Math.trunc(Math.abs(value)).toString().length));
  const text = value.toFixed(digits);
  return (text.length > width ? value.toExponential(0) : text).padStart(width);
}

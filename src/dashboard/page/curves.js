// @ts-check
/**
 * Arithmetic on curves: rows that arrive, a common x axis for several runs, smoothing. Plain functions of arrays.
 *
 * @module
 */

/** @import { Axis, Columns, Maybe } from "./types.ts" */

/** The names of columns, in the server's order. */
export const COLUMNS = /** @type {const} */ ([
  ...["step", "at", "elapsed", "tokens", "loss", "lossMin", "lossMax", "gradNorm", "lr", "tokensPerSecond"],
  ...["secondsPerStep", "bytes", "workers"],
]);

/** @returns {Columns} */
export function noColumns() {
  return /** @type {any} */ (Object.fromEntries(COLUMNS.map((name) => [name, []])));
}

/**
 * Adds the rows of later steps than there are; those known already come twice after a reconnection.
 *
 * @param {object} table of arrays, of which `key` ascends
 * @param {object} rows
 * @param {string} [key]
 */
export function append(table, rows, key = "step") {
  const to = /** @type {Record<string, Maybe[]>} */ (table),
    from = /** @type {Record<string, Maybe[]>} */ (rows);
  const last = to[key].at(-1) ?? -Infinity;
  const first = from[key].findIndex((value) => value !== null && value > last);
  if (first < 0) return;
  for (const name of Object.keys(to)) to[name].push(...from[name]?.slice(first) ?? []);
}

/**
 * Where the rows of a table are on an axis. Rows without a place (a run of an older version does not know its times) take that
 * of the row before.
 *
 * @param {{ step: number[], tokens?: Maybe[], elapsed?: Maybe[] }} table
 * @param {Axis} axis
 * @returns {number[]}
 */
export function placesOf(table, axis) {
  const places = axis === "step" ? table.step : axis === "tokens" ? table.tokens : table.elapsed;
  let last = 0;
  return (places ?? table.step).map((place) => last = Math.max(last, place ?? last));
}

/**
 * The first index whose value is not below `value`, in an ascending array.
 *
 * @param {number[]} values
 * @param {number} value
 */
export function indexOf(values, value) {
  let low = 0, high = values.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * `ys` at `x`, on the straight line between its neighbours; the first or last one outside.
 *
 * @param {number[]} xs ascending
 * @param {number[]} ys
 * @param {number} x
 */
export function interpolate(xs, ys, x) {
  if (xs.length === 0) return NaN;
  const right = indexOf(xs, x);
  if (right === 0) return ys[0];
  if (right === xs.length) return ys[xs.length - 1];
  const left = right - 1;
  const width = xs[right] - xs[left];
  return width === 0 ? ys[right] : ys[left] + (ys[right] - ys[left]) * (x - xs[left]) / width;
}

/**
 * A mean over neighbours on both sides, whose weights fall exponentially with their distance on the step axis, not with the number
 * of points between: thinned and unthinned curves are smoothed alike, and a falling curve does not lag. What is not a number stays
 * out of it.
 *
 * @param {number[]} steps
 * @param {Maybe[]} values
 * @param {number} distance at which a weight has fallen to 1/e, in steps; 0 for no smoothing
 * @returns {Maybe[]}
 */
export function smooth(steps, values, distance) {
  if (distance <= 0) return values;
  const sums = new Float64Array(values.length), weights = new Float64Array(values.length);
  const pass = (/** @type {number} */ from, /** @type {number} */ to, /** @type {1 | -1} */ by) => {
    let sum = 0, weight = 0, last = steps[from];
    for (let row = from; row !== to; row += by) {
      const value = values[row];
      if (value === null) continue;
      const decay = Math.exp(-Math.abs(steps[row] - last) / distance);
      [sum, weight, last] = [sum * decay, weight * decay, steps[row]];
      sums[row] += sum;
      weights[row] += weight;
      sum += value;
      weight++;
    }
  };
  pass(0, values.length, 1);
  pass(values.length - 1, -1, -1);
  return values.map((value, row) => value === null ? null : (sums[row] + value) / (weights[row] + 1));
}

/**
 * One ascending x axis for several tables; rows with the same x share one.
 *
 * @param {number[][]} axes each ascending
 * @returns {{ xs: number[], rows: number[][] }} and for each table which row of `xs` each of its rows is
 */
export function align(axes) {
  if (axes.length === 1) return { xs: axes[0], rows: [axes[0].map((_, index) => index)] };
  const at = axes.map(() => 0), rows = axes.map(() => /** @type {number[]} */ ([]));
  /** @type {number[]} */
  const xs = [];
  while (true) {
    let x = Infinity;
    for (let table = 0; table < axes.length; table++) {
      if (at[table] < axes[table].length) x = Math.min(x, axes[table][at[table]]);
    }
    if (x === Infinity) return { xs, rows };
    for (let table = 0; table < axes.length; table++) {
      if (axes[table][at[table]] === x) {
        rows[table].push(xs.length);
        at[table]++;
      }
    }
    xs.push(x);
  }
}

/**
 * A column on the common axis: undefined, which lines pass over, where the table has no row.
 *
 * @param {Maybe[]} values
 * @param {number[]} rows
 * @param {number} length
 * @returns {(Maybe | undefined)[]}
 */
export function spread(values, rows, length) {
  if (values.length === length) return values;
  const all = new Array(length).fill(undefined);
  for (let index = 0; index < rows.length; index++) all[rows[index]] = values[index];
  return all;
}

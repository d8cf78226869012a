// @ts-check
/**
 * Ranges of axes and the places of their labels.
 *
 * @module
 */

import { indexOf } from "./curves.js";

/** @import { Axis, Maybe } from "./types.ts" */

const DECADES = Array.from({ length: 16 }, (_, exponent) => 10 ** exponent);
const COUNTS = DECADES.flatMap((decade) => [decade, 2 * decade, 5 * decade]);
const MINUTE = 60, HOUR = 3600, DAY = 86400;

/**
 * Distances between the labels of an x axis.
 *
 * @type {Record<Axis, number[]>}
 */
export const X_STEPS = {
  step: COUNTS,
  tokens: COUNTS,
  time: [
    ...[1, 2, 5, 10, 15, 30],
    ...[1, 2, 5, 10, 15, 30].map((minutes) => minutes * MINUTE),
    ...[1, 2, 3, 6, 12].map((hours) => hours * HOUR),
    ...COUNTS.slice(0, 12).map((days) => days * DAY),
  ],
};

/**
 * The range of a y axis for what is visible, with a little air.
 *
 * @param {{ xs: number[], values: (Maybe | undefined)[] }[]} columns
 * @param {{ min: number, max: number }} visible
 * @param {boolean} isLog
 * @param {boolean} isFromZero
 * @returns {[number, number]}
 */
export function rangeOf(columns, visible, isLog, isFromZero) {
  let low = Infinity, high = -Infinity;
  for (const { xs, values } of columns) {
    const last = Math.min(indexOf(xs, visible.max), xs.length - 1);
    for (let row = indexOf(xs, visible.min); row <= last; row++) {
      const value = values[row];
      if (value === null || value === undefined || xs[row] > visible.max || (isLog && value <= 0)) continue;
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  if (low > high) return isLog ? [1, 10] : [0, 1];
  if (isLog) {
    const air = Math.max((high / low) ** 0.06, 1.02);
    return [low / air, high * air];
  }
  if (isFromZero) low = Math.min(low, 0);
  const air = 0.07 * (high - low) || Math.abs(high) * 0.1 || 1;
  return [isFromZero && low === 0 ? 0 : low - air, high + air];
}

/**
 * Round numbers within a range, some five of them.
 *
 * @param {number} min
 * @param {number} max
 * @param {boolean} isLog powers of ten, with 2 and 5 times these where they are few
 * @returns {number[]}
 */
export function stepsOf(min, max, isLog) {
  if (isLog && max / min >= 12) {
    const isWide = max / min > 1e3;
    const first = Math.floor(Math.log10(min)), last = Math.ceil(Math.log10(max));
    return Array.from({ length: last - first + 1 }, (_, index) => 10 ** (first + index))
      .flatMap((decade) => isWide ? [decade] : [decade, 2 * decade, 5 * decade])
      .filter((value) => value >= min && value <= max);
  }
  const rough = (max - min) / 5, decade = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * decade).find((size) => size >= rough) ?? decade;
  const first = Math.ceil(min / step - 1e-9);
  const count = Math.floor(max / step + 1e-9) - first + 1;
  return Array.from({ length: count }, (_, index) => Number(((first + index) * step).toPrecision(12)));
}

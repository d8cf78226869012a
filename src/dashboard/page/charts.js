// @ts-check
/**
 * What each chart shows of the runs that are overlaid.
 *
 * @module
 */

import { align, interpolate, placesOf, smooth, spread } from "./curves.js";
import { noReportText } from "./event_words.js";
import { bytes, decimal, percent, rate, short, steady } from "./format.js";

/** @import { Run } from "./run.js" */
/** @import { Axis, Columns, Maybe, Validation } from "./types.ts" */
/** @import { Drawing, Spec } from "./chart.js" */

/** @typedef {{ run: Run, colour: string, isFocused: boolean }} Shown */

/**
 * A run's curves on the common x axis.
 *
 * @typedef {object} Placed
 * @property {Shown} shown
 * @property {Columns} columns
 * @property {number[]} places of the columns' rows
 * @property {Validation} validation
 * @property {(values: Maybe[]) => (Maybe | undefined)[]} onRows a column of `columns` on the common axis
 * @property {(values: Maybe[]) => (Maybe | undefined)[]} onEvaluations a column of `validation`
 */

/**
 * All that charts are drawn from.
 *
 * @typedef {object} Frame
 * @property {number[]} xs
 * @property {Placed[]} placed
 * @property {Axis} axis
 * @property {number} smoothing in steps
 * @property {(name: string) => string} colour of page.css
 */

/**
 * Puts the curves of runs on one x axis.
 *
 * @param {Shown[]} all
 * @param {Axis} axis
 */
export function place(all, axis) {
  const tables = all.map((shown) => {
    const columns = shown.run.detail ?? shown.run.curves.columns, { validation } = shown.run.curves;
    return {
      shown,
      columns,
      places: placesOf(columns, axis),
      validation,
      evaluated: placesOf(validation, axis),
    };
  });
  const { xs, rows } = align(tables.flatMap(({ places, evaluated }) => [places, evaluated]));
  const placed = tables.map(({ evaluated: _, ...table }, index) => ({
    ...table,
    onRows: (/** @type {Maybe[]} */ values) => spread(values, rows[2 * index], xs.length),
    onEvaluations: (/** @type {Maybe[]} */ values) => spread(values, rows[2 * index + 1], xs.length),
  }));
  return { xs, placed };
}

/** @type {(Spec & { drawing: (frame: Frame) => Drawing })[]} */
export const CHARTS = [
  {
    id: "loss",
    title: "Loss",
    unit: "nats per token",
    format: decimal,
    axisFormat: short,
    isLoggable: true,
    drawing: loss,
  },
  {
    ...{
      id: "speed",
      title: "Tokens per second",
      unit: "",
      format: steady,
      axisFormat: short,
      isFromZero: true,
    },
    drawing: (frame) => noisy(frame, "tokensPerSecond"),
  },
  {
    ...{ id: "norm", title: "Gradient norm", unit: "", format: decimal, axisFormat: short },
    ...{ isLoggable: true, isFromZero: true },
    drawing: norm,
  },
  {
    ...{ id: "rate", title: "Learning rate", unit: "", format: rate, isFromZero: true },
    drawing: (frame) => plain(frame, "lr"),
  },
  {
    ...{
      id: "time",
      title: "Time",
      words: "Where a step’s time goes",
      unit: "",
      format: (share) => percent(share ?? NaN),
    },
    ...{ fixed: [0, 1], hasNames: true },
    drawing: time,
  },
  {
    ...{ id: "bytes", title: "Bytes per step", unit: "", format: bytes, axisFormat: short },
    isFromZero: true,
    drawing: traffic,
  },
];

/**
 * @param {Frame} frame
 * @returns {Drawing}
 */
function loss({ xs, placed, axis, smoothing }) {
  const lines = placed.flatMap(({ shown, columns, validation, onRows, onEvaluations }) => {
    const smoothed = { ...lineOf(shown), ys: onRows(smooth(columns.step, columns.loss, smoothing)) };
    if (validation.step.length === 0) return [smoothed];
    const evaluated = {
      ...lineOf(shown, ", validation"),
      ...{ ys: onEvaluations(validation.valLoss), width: 1, dash: [3, 3], hasPoints: true },
    };
    return [smoothed, evaluated];
  });
  const clouds = placed.map(({ shown, places, columns }) => ({
    ...{ colour: shown.colour, xs: places, low: columns.lossMin, high: columns.lossMax },
  }));
  const rings = placed.flatMap(({ shown, validation }) => {
    const losses = validation.valLoss.map((value) => value ?? Infinity);
    const best = losses.indexOf(Math.min(...losses));
    if (best < 0 || losses[best] === Infinity) return [];
    return [{ colour: shown.colour, x: placesOf(validation, axis)[best], y: losses[best] }];
  });
  return { xs, lines, clouds, rings };
}

/**
 * @param {Frame} frame
 * @param {"gradNorm" | "tokensPerSecond"} name
 * @returns {Drawing}
 */
function noisy({ xs, placed, smoothing }, name) {
  const lines = placed.map(({ shown, columns, onRows }) => ({
    ...lineOf(shown),
    ys: onRows(smooth(columns.step, columns[name], smoothing)),
  }));
  const clouds = placed.map(({ shown, places, columns }) => ({
    ...{ colour: shown.colour, xs: places, low: columns[name], high: columns[name] },
  }));
  return { xs, lines, clouds };
}

/**
 * @param {Frame} frame
 * @returns {Drawing}
 */
function norm(frame) {
  const skipped = frame.placed.flatMap(({ shown, columns, places }) =>
    shown.run.curves.skipped.map((step) => interpolate(columns.step, places, step))
  );
  return { ...noisy(frame, "gradNorm"), ticks: { colour: frame.colour("warn"), xs: skipped } };
}

/**
 * @param {Frame} frame
 * @param {"lr" | "bytes"} name
 * @returns {Drawing}
 */
function plain({ xs, placed }, name) {
  return {
    xs,
    lines: placed.map(({ shown, columns, onRows }) => ({ ...lineOf(shown), ys: onRows(columns[name]) })),
  };
}

/**
 * @param {Frame} frame
 * @returns {Drawing}
 */
function traffic(frame) {
  const travels = frame.placed.some(({ columns }) => columns.bytes.some((count) => (count ?? 0) > 0));
  return travels
    ? plain(frame, "bytes")
    : { xs: [], lines: [], empty: "Nothing travels in a run of one process." };
}

/**
 * Of the focused run alone: shares can't be overlaid.
 *
 * @param {Frame} frame
 * @returns {Drawing}
 */
function time({ placed, colour }) {
  const focused = placed.find(({ shown }) => shown.isFocused);
  const usage = focused?.shown.run.curves.usage;
  if (!focused || !usage || usage.step.length === 0) {
    return { xs: [], lines: [], empty: noReportText(focused?.shown.run.item) };
  }
  const { columns, places } = focused;
  const xs = usage.step.map((step) => interpolate(columns.step, places, step));
  const parts =
    /** @type {const} */ ([["computing", "compute"], ["exchanging", "exchange"], ["waiting", "wait"]]);
  let below = xs.map(() => 0);
  const lines = parts.map(([part, name], index) => {
    below = below.map((sum, row) => sum + (usage[part][row] ?? 0));
    const shade = colour(`part-${index + 1}`);
    return { name, colour: shade, fill: shade, width: 0, ys: below, told: usage[part] };
  });
  return { xs, lines: lines.reverse() }; // each is filled to zero, so the lowest is painted last
}

/**
 * @param {Shown} shown
 * @param {string} [what]
 */
function lineOf({ run, colour, isFocused }, what = "") {
  return { name: run.name + what, colour, width: isFocused ? 1.75 : 1.25 };
}

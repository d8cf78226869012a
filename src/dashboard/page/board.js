// @ts-check
/// <reference lib="dom" />
/**
 * All charts together: one part of the x axis for all, one cursor.
 *
 * @module
 */

import { Chart } from "./chart.js";
import { CHARTS, place } from "./charts.js";
import { interpolate, placesOf } from "./curves.js";
import { fill, setText } from "./dom.js";
import { duration, short, whole } from "./format.js";
import { colour } from "./theme.js";

/** @import { Choices, Axis } from "./types.ts" */
/** @import { Shown } from "./charts.js" */
/** @import { View } from "./chart.js" */
/** @import { Fingers } from "./gestures.js" */

/** How long a part must be looked at until more points are fetched for it, ms. */
const SETTLED = 120;

/** Texts of the x axis, by what it counts. @type {Record<Axis, (x: number) => string>} */
const X_TEXTS = { step: (x) => x < 1e6 ? whole(x) : short(x), tokens: short, time: duration };

/** The charts. */
export class Board {
  /** The part that is shown; null for all. @type {{ min: number, max: number } | null} */
  #zoom = null;
  #extent = { min: 0, max: 1 };
  /** @type {Shown[]} */
  #shown = [];
  /** @type {Choices | undefined} */
  #choices;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /**
   * @param {HTMLElement} host
   * @param {object} parts
   * @param {HTMLElement} parts.reset shows all again
   * @param {HTMLElement} parts.cursor says where the cursor is
   * @param {HTMLElement} parts.smoothing says over how many steps curves are smoothed
   */
  constructor(host, { reset, cursor, smoothing }) {
    this.reset = reset;
    this.cursor = cursor;
    this.smoothing = smoothing;
    const listeners = {
      onZoom: (/** @type {{ min: number, max: number } | null} */ range) => this.#zoomTo(range),
      onPan: (/** @type {number} */ share) => this.#pan(share),
      onScale: (/** @type {number} */ factor) => this.#scale(factor),
      onPinch: (/** @type {Fingers} */ before, /** @type {Fingers} */ after) => this.#pinch(before, after),
      onRest: () => this.#rest(),
      onCursor: (/** @type {number | null} */ x) => this.#tellCursor(x),
    };
    this.charts = CHARTS.map((spec) => ({ chart: new Chart(spec, listeners), drawing: spec.drawing }));
    reset.addEventListener("click", () => this.#zoomTo(null));
    fill(host, this.charts.map(({ chart }) => chart.element));
  }

  /**
   * @param {Shown[]} shown
   * @param {Choices} choices
   */
  draw(shown, choices) {
    if (this.#choices && this.#choices.axis !== choices.axis) this.#setZoom(null);
    [this.#shown, this.#choices] = [shown, choices];
    const { xs, placed } = place(shown, choices.axis);
    this.#extent = extentOf(shown, choices.axis);
    const view = this.#view(choices);
    const smoothing = this.#smoothingIn(choices);
    setText(
      this.smoothing,
      choices.smoothing === 0 ? "off" : stepsText(Math.max(1, Math.round(smoothing))),
    );
    const frame = { xs, placed, axis: choices.axis, smoothing, colour };
    for (const { chart, drawing } of this.charts) chart.draw(drawing(frame), view);
  }

  /** Draws anew, after the colours have changed. */
  redraw() {
    if (this.#choices) this.draw(this.#shown, this.#choices);
    for (const { chart } of this.charts) chart.show(this.#view(/** @type {Choices} */ (this.#choices)));
  }

  /** Fetches more points of the part that is shown, once it is no longer moved. */
  refine() {
    clearTimeout(this.#timer);
    const zoom = this.#zoom, choices = this.#choices;
    if (!zoom || !choices) return;
    this.#timer = setTimeout(async () => {
      const changed = await Promise.all(
        this.#shown.map(({ run }) => run.zoom(choices.axis, zoom).catch(() => false)), // the coarse curve stays
      );
      if (changed.some(Boolean) && this.#choices) this.draw(this.#shown, this.#choices);
    }, SETTLED);
  }

  /**
   * @param {Choices} choices
   * @returns {View}
   */
  #view({ axis, isLog }) {
    return { ...this.#zoom ?? this.#extent, axis, isLog, xText: X_TEXTS[axis] };
  }

  /**
   * The distance over which curves are smoothed, in steps: a share of what is visible.
   *
   * @param {Choices} choices
   */
  #smoothingIn({ axis, smoothing }) {
    const { min, max } = this.#zoom ?? this.#extent;
    const lengths = this.#shown.map(({ run: { curves: { columns } } }) => {
      const places = placesOf(columns, axis);
      return interpolate(places, columns.step, max) - interpolate(places, columns.step, min);
    }).filter(Number.isFinite);
    return Math.max(0, ...lengths) * smoothing / 100;
  }

  /** @param {{ min: number, max: number } | null} range */
  #setZoom(range) {
    this.#zoom = range;
    this.reset.hidden = range === null;
    if (range === null) { for (const { run } of this.#shown) run.detail = undefined; }
  }

  /** @param {{ min: number, max: number } | null} range */
  #zoomTo(range) {
    this.#setZoom(range);
    if (this.#choices) this.draw(this.#shown, this.#choices);
    this.refine();
  }

  /** @param {number} share */
  #pan(share) {
    if (!this.#zoom) return;
    const { min, max } = this.#zoom, width = max - min;
    this.#moveTo(min + share * width, width);
  }

  /**
   * @param {Fingers} before
   * @param {Fingers} after
   */
  #pinch([a, b], [left, right]) {
    const { min, max } = this.#zoom ?? this.#extent, width = max - min;
    const wanted = width * (b - a) / (right - left);
    this.#moveTo(min + a * width - left * wanted, wanted);
  }

  /** Draws what was moved as it is drawn there: smoothing goes by what is visible. */
  #rest() {
    const { min, max } = this.#extent;
    const isAll = !this.#zoom || this.#zoom.max - this.#zoom.min > 0.999 * (max - min);
    this.#zoomTo(isAll ? null : this.#zoom);
  }

  /**
   * Shows so much from a place on, as far as there is something.
   *
   * @param {number} from
   * @param {number} wanted
   */
  #moveTo(from, wanted) {
    if (!this.#choices) return;
    const { min, max } = this.#extent, width = Math.min(wanted, max - min);
    const start = Math.max(min, Math.min(max - width, from));
    this.#setZoom({ min: start, max: start + width });
    const view = this.#view(this.#choices);
    for (const { chart } of this.charts) chart.show(view);
    this.refine();
  }

  /** @param {number} factor */
  #scale(factor) {
    const { min, max } = this.#zoom ?? this.#extent;
    const middle = (min + max) / 2, half = factor * (max - min) / 2;
    const isAll = half >= (this.#extent.max - this.#extent.min) / 2;
    const from = Math.max(this.#extent.min, middle - half), to = Math.min(this.#extent.max, middle + half);
    this.#zoomTo(isAll ? null : { min: from, max: to });
  }

  /** @param {number | null} x */
  #tellCursor(x) {
    const run = this.#shown.find(({ isFocused }) => isFocused)?.run;
    if (x === null || !run || !this.#choices) return setText(this.cursor, "");
    const { columns } = run.curves, places = placesOf(columns, this.#choices.axis);
    const at = (/** @type {Axis} */ axis) => interpolate(places, placesOf(columns, axis), x);
    setText(
      this.cursor,
      `step ${whole(at("step"))} · ${short(at("tokens"))} tokens · ${duration(at("time"))}`,
    );
  }
}

/** @param {number} count */
function stepsText(count) {
  return count === 1 ? "1 step" : `${short(count)} steps`;
}

/**
 * From the first to the last place of all runs.
 *
 * @param {Shown[]} shown
 * @param {Axis} axis
 */
function extentOf(shown, axis) {
  let min = Infinity, max = -Infinity;
  for (const { run } of shown) {
    const places = placesOf(run.curves.columns, axis);
    if (places.length === 0) continue;
    min = Math.min(min, places[0]);
    max = Math.max(max, places[places.length - 1]);
  }
  if (min > max) return { min: 0, max: 1 };
  return min === max ? { min: min - 1, max: max + 1 } : { min, max };
}

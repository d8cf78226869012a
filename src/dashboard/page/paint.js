// @ts-check
/// <reference lib="dom" />
/**
 * What a chart shows besides lines: painted on uPlot's canvas, in its pixels.
 *
 * @module
 */

import { indexOf } from "./curves.js";

/** @import { Maybe } from "./types.ts" */

/**
 * What lies faintly under the lines: from the lowest to the highest value at each x.
 *
 * @typedef {{ colour: string, xs: number[], low: Maybe[], high: Maybe[] }} Cloud
 */

/** @typedef {{ colour: string, xs: number[] }} Ticks at the lower edge */
/** @typedef {{ colour: string, x: number, y: number }} Ring */

/**
 * Paints what lies under the lines.
 *
 * @param {any} u
 * @param {Cloud[]} clouds
 * @param {boolean} isLog
 */
export function paintClouds(u, clouds, isLog) {
  for (const cloud of clouds) {
    clipped(u, (context) => {
      context.fillStyle = context.strokeStyle = cloud.colour;
      context.lineWidth = devicePixelRatio;
      for (const outline of outlinesOf(u, cloud, isLog)) {
        context.globalAlpha = 0.1;
        context.fill(outline);
        context.globalAlpha = 0.2;
        context.stroke(outline);
      }
    });
  }
}

/**
 * Paints what lies over the lines.
 *
 * @param {any} u
 * @param {{ ticks?: Ticks, rings?: Ring[] }} marks
 */
export function paintMarks(u, { ticks, rings = [] }) {
  const size = devicePixelRatio, bottom = u.bbox.top + u.bbox.height;
  clipped(u, (context) => {
    context.fillStyle = ticks?.colour ?? "";
    for (const x of ticks?.xs ?? []) {
      context.fillRect(u.valToPos(x, "x", true) - size, bottom - 9 * size, 2 * size, 9 * size);
    }
  });
  for (const { colour, x, y } of rings) {
    if (x < u.scales.x.min || x > u.scales.x.max) continue;
    u.ctx.beginPath();
    u.ctx.arc(u.valToPos(x, "x", true), u.valToPos(y, "y", true), 5.5 * size, 0, 2 * Math.PI);
    u.ctx.strokeStyle = colour;
    u.ctx.lineWidth = 1.5 * size;
    u.ctx.stroke();
  }
}

/**
 * Draws within the axes.
 *
 * @param {any} u
 * @param {(context: CanvasRenderingContext2D) => void} draw
 */
function clipped(u, draw) {
  const { left, top, width, height } = u.bbox;
  u.ctx.save();
  u.ctx.beginPath();
  u.ctx.rect(left, top, width, height);
  u.ctx.clip();
  draw(u.ctx);
  u.ctx.restore();
}

/**
 * The outlines of the visible part of a cloud, one for each stretch without a gap.
 *
 * @param {any} u
 * @param {Cloud} cloud
 * @param {boolean} isLog
 */
function* outlinesOf(u, { xs, low, high }, isLog) {
  const first = Math.max(0, indexOf(xs, u.scales.x.min) - 1);
  const last = Math.min(xs.length - 1, indexOf(xs, u.scales.x.max) + 1);
  const isDrawn = (/** @type {number} */ row) => {
    const value = low[row];
    return value !== null && high[row] !== null && !(isLog && value <= 0);
  };
  for (let from = first; from <= last; from++) {
    if (!isDrawn(from)) continue;
    let to = from;
    while (to < last && isDrawn(to + 1)) to++;
    const outline = new Path2D();
    for (let row = from; row <= to; row++) {
      outline.lineTo(u.valToPos(xs[row], "x", true), u.valToPos(high[row], "y", true));
    }
    for (let row = to; row >= from; row--) {
      outline.lineTo(u.valToPos(xs[row], "x", true), u.valToPos(low[row], "y", true));
    }
    outline.closePath();
    yield outline;
    from = to;
  }
}

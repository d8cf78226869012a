// @ts-check
/**
 * Numbers, times and sizes as people read them.
 *
 * @module
 */

/** @import { Maybe } from "./types.ts" */

const NONE = "–";
/** @type {[number, string][]} */
const SCALES = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]];

/**
 * A whole number with separators: "12,300".
 *
 * @param {Maybe | undefined} value
 */
export function whole(value) {
  return isNumber(value) ? Math.round(value).toLocaleString("en-US") : NONE;
}

/**
 * Three digits and a scale: "12.3k", "804", "0.52".
 *
 * @param {Maybe | undefined} value
 */
export function short(value) {
  if (!isNumber(value)) return NONE;
  const [by, letter] = scaleOf(value);
  return digits(value / by) + letter;
}

/**
 * The same with all three digits, for numbers that change in their place: "12.0k".
 *
 * @param {Maybe | undefined} value
 */
export function steady(value) {
  if (!isNumber(value) || value === 0) return short(value);
  const [by, letter] = scaleOf(value);
  return (value / by).toPrecision(3) + letter;
}

/**
 * A loss or a norm: three decimals, or four digits.
 *
 * @param {Maybe | undefined} value
 */
export function decimal(value) {
  if (!isNumber(value)) return NONE;
  if (value !== 0 && (Math.abs(value) >= 1e4 || Math.abs(value) < 1e-3)) return value.toExponential(2);
  return value.toFixed(Math.abs(value) >= 100 ? 1 : 3);
}

/**
 * A learning rate: "1e-3", "2.5e-4".
 *
 * @param {Maybe | undefined} value
 */
export function rate(value) {
  if (!isNumber(value)) return NONE;
  if (value === 0) return "0";
  const [mantissa, exponent] = value.toExponential(2).split("e");
  return `${Number(mantissa)}e${Number(exponent)}`;
}

/**
 * Bytes in powers of ten: "3.21 MB".
 *
 * @param {Maybe | undefined} value
 */
export function bytes(value) {
  if (!isNumber(value)) return NONE;
  const text = short(value);
  return /[a-zA-Z]$/.test(text) ? `${text.slice(0, -1)} ${text.slice(-1)}B` : `${text} B`;
}

/**
 * Seconds as "0:42", "1:03:20" or "2 d 04 h".
 *
 * @param {Maybe | undefined} seconds
 */
export function duration(seconds) {
  if (!isNumber(seconds)) return NONE;
  const all = Math.max(0, Math.round(seconds));
  const two = (/** @type {number} */ part) => String(part).padStart(2, "0");
  const hours = Math.floor(all / 3600);
  if (hours >= 48) return `${Math.floor(hours / 24)} d ${two(hours % 24)} h`;
  const rest = `${two(Math.floor(all / 60) % 60)}:${two(all % 60)}`;
  return hours > 0 ? `${hours}:${rest}` : rest.replace(/^0/, "");
}

/**
 * How long ago something was, in one word: "now", "12 s", "3 min", "5 h", "2 d".
 *
 * @param {Maybe | undefined} seconds
 */
export function ago(seconds) {
  if (!isNumber(seconds)) return NONE;
  if (seconds < 1) return "now";
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} d`;
}

/**
 * @param {number} share 0 to 1
 */
export function percent(share) {
  return `${Math.round(100 * share)}%`;
}

/**
 * The clock's time of a moment, with the day where that is not today.
 *
 * @param {string} iso
 * @param {Date} [now]
 */
export function clock(iso, now = new Date()) {
  const at = new Date(iso);
  if (Number.isNaN(at.getTime())) return NONE;
  const time = at.toLocaleTimeString("en-GB");
  if (at.toDateString() === now.toDateString()) return time;
  return `${at.toLocaleDateString("en-GB", { day: "numeric", month: "short" })} ${time}`;
}

/**
 * A value of a configuration: texts as they are, all else as JSON.
 *
 * @param {unknown} value
 */
export function setting(value) {
  if (value === undefined) return NONE;
  return typeof value === "string" ? value : JSON.stringify(value);
}

/**
 * @param {unknown} value
 * @returns {value is number}
 */
export function isNumber(value) {
  return typeof value === "number" && Number.isFinite(value);
}

/** @param {number} value */
function scaleOf(value) {
  return SCALES.find(([scale]) => Math.abs(value) >= scale * 0.9995) ?? /** @type {[number, string]} */
    ([1, ""]);
}

/** @param {number} value */
function digits(value) {
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (size < 1e-3) return rate(value);
  return String(Number(value.toPrecision(3)));
}

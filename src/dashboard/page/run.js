// @ts-check
/**
 * All that the page knows of one run: fetched whole, then grown by what the stream says.
 *
 * @module
 */

import { append, indexOf, noColumns, placesOf } from "./curves.js";
import { ask } from "./connection.js";

/** @import { Axis, Columns, Curves, MembersLine, RecordedEvent, RunCard, RunItem } from "./types.ts" */

/** Points of a curve that are asked for: more than a wide screen has columns. */
const POINTS = 2000;
/** When so many have been added, the server thins them again. */
const MOST_POINTS = 2 * POINTS;
const MOST_EVENTS = 300;

/** A run that is overlaid. */
export class Run {
  /** @type {RunItem | undefined} */
  item;
  /** @type {RunCard | null} */
  card = null;
  /** @type {Record<string, unknown>} */
  config = {};
  /** @type {RecordedEvent[]} */
  events = [];
  eventsBefore = 0;
  /** @type {MembersLine | null} */
  members = null;
  /** When `members` came, by this machine's clock. */
  membersCame = 0;
  /** @type {Curves} */
  curves = {
    columns: noColumns(),
    skipped: [],
    validation: { step: [], at: [], elapsed: [], tokens: [], valLoss: [] },
    usage: { at: [], step: [], computing: [], exchanging: [], waiting: [] },
  };
  /**
   * A part of the curves in more points, while the charts show a part.
   *
   * @type {Columns | undefined}
   */
  detail;
  isLoaded = false;
  /** Counts loads, so that an answer that was overtaken is dropped. */
  #load = 0;
  /** What the stream said while an answer was awaited. @type {[type: string, data: any][] | undefined} */
  #early;

  /** @param {string} name */
  constructor(name) {
    this.name = name;
  }

  /** Fetches everything; what it knew before is shown until then. */
  async load() {
    const load = ++this.#load;
    this.#early ??= [];
    const query = { name: this.name };
    const [details, curves] = await Promise.all([
      ask("/api/run", query),
      ask("/api/curves", { ...query, points: POINTS }),
    ]);
    if (load !== this.#load) return;
    Object.assign(this, { ...details, curves, detail: undefined, isLoaded: true, membersCame: Date.now() });
    const early = this.#early ?? [];
    this.#early = undefined;
    for (const [type, data] of early) this.take(type, data);
  }

  /**
   * Takes a message of the stream. Returns whether the run must be loaded again.
   *
   * @param {string} type
   * @param {any} data
   * @returns {boolean}
   */
  take(type, data) {
    if (this.#early) {
      this.#early.push([type, data]);
      return type === "reset";
    }
    const { columns, validation, usage, skipped } = this.curves;
    switch (type) {
      case "steps":
        append(columns, data.columns);
        skipped.push(...data.skipped.filter((/** @type {number} */ step) => step > (skipped.at(-1) ?? -1)));
        return columns.step.length > MOST_POINTS;
      case "evaluated":
        append(validation, data.validation);
        return false;
      case "usage":
        append(usage, data.usage, "at");
        return usage.at.length > MOST_POINTS;
      case "event":
        this.#addEvent(data.event);
        return false;
      case "members":
        [this.members, this.membersCame] = [data.line, Date.now()];
        return false;
      case "item":
        this.item = data.item;
        return false;
      default: // "reset": steps that are here were discarded
        return true;
    }
  }

  /** @param {RecordedEvent} event */
  #addEvent(event) {
    const isKnown = this.events.some((known) => JSON.stringify(known) === JSON.stringify(event));
    if (isKnown) return;
    this.events.push(event);
    if (this.events.length > MOST_EVENTS) this.eventsBefore += this.events.splice(0, 1).length;
  }

  /**
   * Fetches the curves between two places in more points than there are here, where the server has more.
   *
   * @param {Axis} axis
   * @param {{ min: number, max: number }} range
   * @returns {Promise<boolean>} whether there is something else to draw
   */
  async zoom(axis, { min, max }) {
    const load = this.#load;
    const { columns } = this.curves;
    const places = placesOf(columns, axis);
    const margin = (max - min) / 5; // for smoothing, and a little panning
    const from = columns.step[Math.max(0, indexOf(places, min - margin) - 1)];
    const to = columns.step[Math.min(places.length - 1, indexOf(places, max + margin))];
    if (from === undefined || to === undefined) return false;
    const isWhole = columns.step.length >= columns.step[columns.step.length - 1] - columns.step[0] + 1;
    if (isWhole) return false;
    const curves = await ask("/api/curves", { name: this.name, points: POINTS, from, to });
    if (load !== this.#load) return false;
    this.detail = curves.columns;
    return true;
  }

  /**
   * Seconds that the run still needs at its usual speed; null where it does not run.
   *
   * @param {RunItem} item
   */
  static secondsLeft({ state, step, steps, elapsed }) {
    return state === "running" && step > 0 && steps > 0 ? (steps - step) * elapsed / step : null;
  }
}

// @ts-check
/// <reference lib="dom" />
/**
 * The list of runs: which are overlaid, which is looked at, and their last numbers.
 *
 * @module
 */

import { el, fill, setText } from "./dom.js";
import { decimal, duration, setting, steady, whole } from "./format.js";
import { Run } from "./run.js";

/** @import { RunItem } from "./types.ts" */

/**
 * @typedef {object} Entry
 * @property {HTMLLIElement} element
 * @property {HTMLInputElement} checkbox
 * @property {HTMLButtonElement} name
 * @property {HTMLElement} state
 * @property {HTMLElement} bar
 * @property {Record<string, HTMLElement>} numbers
 * @property {HTMLElement} differs
 */

/** What a run's state is called. @type {Record<RunItem["state"], string>} */
export const STATES = {
  running: "running",
  done: "done",
  stopped: "stopped",
  failed: "failed",
  ended: "ended",
};

/** The list, of which only what has changed is written. */
export class RunList {
  /** @type {Map<string, Entry>} */
  #entries = new Map();

  /**
   * @param {HTMLElement} list
   * @param {object} listeners
   * @param {(name: string, isOn: boolean) => void} listeners.onOverlay
   * @param {(name: string) => void} listeners.onFocus
   */
  constructor(list, { onOverlay, onFocus }) {
    this.list = list;
    this.onOverlay = onOverlay;
    this.onFocus = onFocus;
  }

  /**
   * @param {RunItem[]} items
   * @param {(name: string) => string | undefined} colourOf undefined where a run is not overlaid
   * @param {string} focus
   */
  draw(items, colourOf, focus) {
    const names = new Set(items.map(({ name }) => name));
    for (const name of this.#entries.keys()) if (!names.has(name)) this.#entries.delete(name);
    for (const item of items) {
      if (!this.#entries.has(item.name)) this.#entries.set(item.name, this.#entryOf(item.name));
      write(
        /** @type {Entry} */ (this.#entries.get(item.name)),
        item,
        colourOf(item.name),
        item.name === focus,
      );
    }
    const elements = items.map(({ name }) => /** @type {Entry} */ (this.#entries.get(name)).element);
    const isInOrder = elements.length === this.list.children.length &&
      elements.every((element, index) => this.list.children[index] === element);
    if (!isInOrder) fill(this.list, elements);
  }

  /**
   * @param {string} name
   * @returns {Entry}
   */
  #entryOf(name) {
    const checkbox = el("input", {
      ...{ type: "checkbox", "aria-label": `Overlay ${name}` },
      onchange: () => this.onOverlay(name, checkbox.checked),
    });
    const button = el("button", { class: "name", title: name, onclick: () => this.onFocus(name) }, name);
    const state = el("span", { class: "state" });
    const bar = el("i");
    /** @type {Record<string, HTMLElement>} */
    const numbers = {};
    const number = (/** @type {string} */ key, /** @type {string} */ label) =>
      el("div", {}, el("dt", {}, label), numbers[key] = el("dd"));
    const differs = el("p", { class: "differs" });
    const element = el(
      "li",
      { class: "run" },
      checkbox,
      button,
      state,
      el("div", { class: "bar" }, bar),
      el("dl", {}, number("step", "step"), number("left", "left")),
      el("dl", {}, number("loss", "loss"), number("best", "best"), number("speed", "tok/s")),
      differs,
    );
    return { element, checkbox, name: button, state, bar, numbers, differs };
  }
}

/**
 * @param {Entry} entry
 * @param {RunItem} item
 * @param {string | undefined} colour
 * @param {boolean} isFocused
 */
function write({ element, checkbox, name, state, bar, numbers, differs }, item, colour, isFocused) {
  checkbox.checked = colour !== undefined;
  element.style.setProperty("--run", colour ?? "var(--muted)");
  element.classList.toggle("focused", isFocused);
  element.classList.toggle("shown", colour !== undefined);
  if (isFocused) name.setAttribute("aria-current", "true");
  else name.removeAttribute("aria-current");
  setText(state, STATES[item.state] ?? item.state);
  state.dataset.state = item.state;
  bar.style.width = `${item.steps > 0 ? Math.min(100, 100 * item.step / item.steps) : 0}%`;
  setText(numbers.step, `${whole(item.step)} / ${whole(item.steps)}`);
  setText(numbers.loss, decimal(item.loss));
  setText(numbers.best, decimal(item.best?.valLoss));
  setText(numbers.speed, steady(item.tokensPerSecond));
  const left = Run.secondsLeft(item);
  setText(numbers.left, duration(left ?? item.elapsed));
  const label = numbers.left.previousElementSibling;
  if (label) setText(label, left === null ? "took" : "left");
  const settings = Object.entries(item.differs).map(([path, value]) =>
    `${path.split(".").at(-1)} ${setting(value)}`
  );
  setText(differs, settings.join(" · "));
  differs.title = Object.entries(item.differs).map(([path, value]) => `${path}: ${setting(value)}`).join(
    "\n",
  );
}

// @ts-check
/// <reference lib="dom" />
/**
 * The focused run: what it is, its configuration, and how that differs from another run's.
 *
 * @module
 */

import { ask } from "./connection.js";
import { el, fill } from "./dom.js";
import { bytes, setting, short, whole } from "./format.js";

/** @import { Run } from "./run.js" */
/** @import { Difference, RunCard, RunItem } from "./types.ts" */

/**
 * What the run's card says, as pairs of a word and a text.
 *
 * @param {HTMLElement} host
 * @param {Run} run
 */
export function drawCard(host, { card }) {
  if (!card) return fill(host);
  const { model, text, batch, machine } = card;
  const facts = {
    model: `${short(model.parameters)} parameters, ${bytes(model.bytes)}, ${
      short(model.flopsPerToken)
    } FLOP a token`,
    text: `${text.source}, ${short(text.training)} tokens and ${short(text.validation)} to validate`,
    epochs: String(Number(text.epochs.toPrecision(3))),
    batch: `${whole(batch.tokens)} tokens in ${whole(batch.microBatches)} micro-batches`,
    machine: machine && machineText(machine),
    memory: machine?.memory === undefined ? undefined : `${bytes(machine.memory)} a process`,
    folder: card.folder,
  };
  fill(
    host,
    Object.entries(facts).map(([word, fact]) =>
      fact !== undefined && el("div", {}, el("dt", {}, word), el("dd", {}, fact))
    ),
  );
}

/**
 * @param {NonNullable<RunCard["machine"]>} machine
 * @returns {string}
 */
function machineText({ workers, device, threads }) {
  const each = threads === 1 ? "1 thread" : `${threads} threads`;
  return workers === 0 ? `one process, ${device}, ${each}` : `${workers} × ${device}, ${each} each`;
}

/** The configuration's table, alone or beside another run's. */
export class Configuration {
  #drawn = "";

  /**
   * @param {HTMLElement} host
   * @param {HTMLSelectElement} select the other run
   * @param {() => void} onChange
   */
  constructor(host, select, onChange) {
    this.host = host;
    this.select = select;
    select.addEventListener("change", onChange);
  }

  /**
   * @param {Run} run
   * @param {RunItem[]} items the runs that it may be compared with
   */
  async draw(run, items) {
    this.#drawOptions(items.map(({ name }) => name).filter((name) => name !== run.name));
    const other = this.select.value;
    const drawn = JSON.stringify([run.name, other, run.config]);
    if (drawn === this.#drawn) return;
    this.#drawn = drawn;
    if (other === "") return this.#drawAlone(run);
    /** @type {{ differs: Difference[] }} */
    const { differs } = await ask("/api/compare", { a: run.name, b: other });
    if (drawn !== this.#drawn) return;
    if (differs.length === 0) {
      return fill(this.host, el("p", { class: "empty" }, "The configurations are the same."));
    }
    const rows = differs.map(({ path, a, b }) => rowOf(path, [setting(a), setting(b)], false));
    const heading = el(
      "tr",
      {},
      ["", run.name, other].map((name) => el("th", { scope: "col", title: name }, name)),
    );
    fill(this.host, el("table", { class: "settings pair" }, el("thead", {}, heading), el("tbody", {}, rows)));
  }

  /** Draws anew, whatever was drawn before. */
  forget() {
    this.#drawn = "";
  }

  /** @param {Run} run */
  #drawAlone({ config, item }) {
    const differs = item?.differs ?? {};
    const rows = settingsIn(config).map(([path, value]) =>
      rowOf(path, [setting(value)], Object.hasOwn(differs, path))
    );
    if (rows.length === 0) return fill(this.host, el("p", { class: "empty" }, "No configuration on record."));
    fill(this.host, el("table", { class: "settings" }, el("tbody", {}, rows)));
  }

  /** @param {string[]} names */
  #drawOptions(names) {
    const before = this.select.value;
    const wanted = ["", ...names];
    const current = [...this.select.options].map(({ value }) => value);
    if (JSON.stringify(wanted) === JSON.stringify(current)) return;
    const isChosen = (/** @type {string} */ name) => name === before;
    fill(
      this.select,
      wanted.map((name) => el("option", { value: name, selected: isChosen(name) }, name || "no other run")),
    );
  }
}

/**
 * Settings by dotted path, in the file's order.
 *
 * @param {Record<string, unknown>} config
 * @param {string} [parent]
 * @returns {[path: string, value: unknown][]}
 */
export function settingsIn(config, parent = "") {
  return Object.entries(config).flatMap(([key, value]) => {
    const path = parent + key;
    const isSection = value !== null && typeof value === "object" && !Array.isArray(value);
    if (!isSection) return [/** @type {[string, unknown]} */ ([path, value])];
    return settingsIn(/** @type {Record<string, unknown>} */ (value), `${path}.`);
  });
}

/**
 * @param {string} path
 * @param {string[]} values
 * @param {boolean} isOwn whether it is another value than the default
 */
function rowOf(path, values, isOwn) {
  const dot = path.lastIndexOf(".") + 1;
  const name = el(
    "th",
    { scope: "row" },
    el("span", { class: "section" }, path.slice(0, dot)),
    path.slice(dot),
  );
  return el(
    "tr",
    { class: isOwn && "own", title: isOwn && "not the default" },
    name,
    values.map((value) => el("td", {}, value)),
  );
}

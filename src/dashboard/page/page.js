// @ts-check
/// <reference lib="dom" />
/**
 * The page: what was chosen, which runs there are, and what of it is drawn when. Everything else has a file of its own.
 *
 * @module
 */

import { Board } from "./board.js";
import { choicesIn, focusOf, hashOf, withoutRun, withRun } from "./choices.js";
import { Configuration, drawCard } from "./configuration.js";
import { ask, Refusal, Stream } from "./connection.js";
import { byId, setText } from "./dom.js";
import { drawEvents, drawSamples } from "./events.js";
import { whole } from "./format.js";
import { Members } from "./members.js";
import { Run } from "./run.js";
import { RunList, STATES } from "./run_list.js";
import { runColour, startTheme } from "./theme.js";

/** @import { Axis, Choices, RunItem } from "./types.ts" */

/** Milliseconds between two looks at the list of runs. */
const LIST_POLL = 4000;
/** Milliseconds between two drawings while news comes. */
const DRAW_EVERY = 250;

let choices = choicesIn(location.hash);
/** @type {RunItem[]} */
let items = [];
/** Whether the list has been there once. */
let isListed = false;
/** Runs that are overlaid, by name. @type {Map<string, Run>} */
const runs = new Map();
/** Runs whose first message of this connection has not come. @type {Set<string>} */
const unseen = new Set();

const form = /** @type {HTMLFormElement} */ (document.querySelector(".toolbar"));
const onlyTrouble = /** @type {HTMLInputElement} */ (byId("only-trouble"));
const board = new Board(byId("charts"), {
  reset: byId("all-steps"),
  cursor: byId("cursor"),
  smoothing: byId("smoothing-text"),
});
const list = new RunList(byId("runs"), {
  onOverlay: (name, isOn) => choose(isOn ? withRun(choices, name) : withoutRun(choices, name)),
  onFocus: (name) => choose({ ...withRun(choices, name), focus: name }),
});
const members = new Members(byId("members"));
const configuration = new Configuration(
  byId("configuration"),
  /** @type {HTMLSelectElement} */ (byId("compare")),
  () => drawSoon("configuration"),
);
const stream = new Stream({
  onOpen: onConnected,
  onLost: () => tellConnection({ stream: false }),
  onMessage: take,
});

/* What is drawn: parts that have changed, together, at most four times a second. */

/** @typedef {"list" | "charts" | "card" | "members" | "events" | "configuration"} Part */
/** @type {Part[]} */
const ALL = ["list", "charts", "card", "members", "events", "configuration"];
/** @type {Set<Part>} */
const changed = new Set();
let isDue = false, drawnAt = -Infinity;

/** @param {...Part} parts */
function drawSoon(...parts) {
  for (const part of parts) changed.add(part);
  if (isDue) return;
  isDue = true;
  const wait = Math.max(0, DRAW_EVERY - (performance.now() - drawnAt));
  setTimeout(() => requestAnimationFrame(draw), wait);
}

function draw() {
  [isDue, drawnAt] = [false, performance.now()];
  const parts = new Set(changed);
  changed.clear();
  if (parts.has("list")) drawList();
  const focused = runs.get(focus());
  const isShown = focused?.isLoaded === true;
  byId("no-runs").hidden = !(isListed && items.length === 0);
  byId("no-choice").hidden = !(items.length > 0 && runs.size === 0);
  byId("content").hidden = !isShown;
  byId("reading").hidden = isShown || focused === undefined;
  if (!focused || !isShown) return;
  if (parts.has("charts")) drawCharts();
  if (parts.has("card")) drawFocus(focused);
  if (parts.has("members")) members.draw(focused);
  if (parts.has("events")) {
    drawEvents(byId("events"), focused, onlyTrouble.checked);
    drawSamples(byId("samples"), focused);
  }
  if (parts.has("configuration")) configuration.draw(focused, items).catch(() => configuration.forget());
}

function drawList() {
  list.draw(
    items,
    (name) => choices.runs.includes(name) ? runColour(choices.runs.indexOf(name)) : undefined,
    focus(),
  );
  setText(byId("run-count"), items.length > 0 ? whole(items.length) : "");
  const missing = chosen().filter((name) => !items.some((item) => item.name === name));
  byId("missing").hidden = !isListed || missing.length === 0;
  setText(byId("missing"), `Not in this folder: ${missing.join(", ")}`);
}

function drawCharts() {
  const focused = focus();
  const shown = chosen().flatMap((name) => {
    const run = runs.get(name);
    const colour = runColour(choices.runs.indexOf(name));
    return run?.isLoaded ? [{ run, colour, isFocused: name === focused }] : [];
  });
  board.draw(shown, choices);
}

/** @param {Run} run */
function drawFocus(run) {
  setText(byId("focus-name"), run.name);
  const state = byId("focus-state");
  state.dataset.state = run.item?.state ?? "";
  setText(state, run.item ? STATES[run.item.state] : "");
  drawCard(byId("card"), run);
}

/* What is chosen. */

/** The run that all that is not a curve is about, among those that are there. */
function focus() {
  return focusOf({ ...choices, runs: choices.runs.filter((name) => runs.has(name)) });
}

function chosen() {
  return choices.runs.filter(Boolean);
}

/** @param {Choices} next */
function choose(next) {
  const before = JSON.stringify(chosen());
  choices = next;
  history.replaceState(null, "", hashOf(choices));
  writeForm();
  drawSoon(...ALL);
  if (JSON.stringify(chosen()) !== before) followChosen();
}

/** Listens to the runs that are chosen and, once the list is known, there; forgets the others. */
function followChosen() {
  const names = chosen().filter((name) => !isListed || items.some((item) => item.name === name));
  if (names.length === runs.size && names.every((name) => runs.has(name))) return;
  for (const name of runs.keys()) if (!names.includes(name)) runs.delete(name);
  for (const name of names) if (!runs.has(name)) runs.set(name, new Run(name));
  stream.follow(names);
}

function writeForm() {
  /** @type {RadioNodeList} */ (form.elements.namedItem("axis")).value = choices.axis;
  /** @type {HTMLInputElement} */ (form.elements.namedItem("log")).checked = choices.isLog;
  /** @type {HTMLInputElement} */ (form.elements.namedItem("smoothing")).value = String(choices.smoothing);
}

function readForm() {
  const fields = new FormData(form);
  const axis = /** @type {Axis} */ (fields.get("axis"));
  choose({ ...choices, axis, isLog: fields.has("log"), smoothing: Number(fields.get("smoothing")) });
}

/* What the server says. */

/** What can be reached, and what is wrong where the server says so. */
let reached = { stream: true, list: true, problem: "" };

/** @param {Partial<typeof reached>} change */
function tellConnection(change) {
  reached = { ...reached, ...change };
  setText(byId("connection"), reached.stream && reached.list ? "" : reached.problem || "reconnecting");
}

function onConnected() {
  tellConnection({ stream: true });
  unseen.clear();
  for (const name of runs.keys()) unseen.add(name);
}

/**
 * @param {string} type
 * @param {any} data
 */
function take(type, data) {
  const run = runs.get(data.name);
  if (!run) return;
  // What comes from here on is told by the stream, and what was before is fetched: nothing is missed between the two.
  if (unseen.delete(run.name) || run.take(type, data)) load(run);
  if (type === "item") {
    items = items.map((item) => item.name === run.name ? data.item : item);
    drawSoon("list", "card");
  } else if (type === "event") drawSoon("events", "members");
  else if (type === "members") drawSoon("members");
  else drawSoon("charts");
}

/** @param {Run} run */
async function load(run) {
  try {
    await run.load();
    drawSoon(...ALL);
    board.refine();
  } catch {
    if (runs.get(run.name) === run) setTimeout(() => load(run), LIST_POLL); // it is being written, or the server is away
  }
}

async function poll() {
  try {
    const wasEmpty = items.length === 0;
    ({ runs: items } = await ask("/api/runs"));
    isListed = true;
    if (chosen().length === 0 && items.length > 0 && wasEmpty) choose(withRun(choices, items[0].name));
    else followChosen();
    tellConnection({ list: true, problem: "", ...chosen().length === 0 && { stream: true } });
    drawSoon("list", "configuration");
  } catch (error) {
    tellConnection({ list: false, problem: error instanceof Refusal ? error.message : "" });
  } finally {
    setTimeout(poll, LIST_POLL);
  }
}

form.addEventListener("input", readForm);
form.addEventListener("submit", (event) => event.preventDefault());
onlyTrouble.addEventListener("change", () => drawSoon("events"));
byId("all-runs").addEventListener("click", ({ currentTarget }) => {
  const isOpen = byId("runs").classList.toggle("open");
  /** @type {HTMLElement} */ (currentTarget).setAttribute("aria-expanded", String(isOpen));
});
addEventListener("hashchange", () => choose(choicesIn(location.hash)));
setInterval(() => members.tick(), 1000);
startTheme(byId("theme"), () => {
  drawSoon(...ALL);
  board.redraw();
});
writeForm();
followChosen();
poll();

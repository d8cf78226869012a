// @ts-check
/**
 * What the person who looks has chosen, as the address keeps it: #run=a&run=b&x=tokens&log. An address that is sent shows the
 * same.
 *
 * @module
 */

/** @import { Axis, Choices } from "./types.ts" */

/** @type {Axis[]} */
const AXES = ["step", "tokens", "time"];
const SMOOTHING = 1;
/** No more runs are overlaid: the colours end. */
export const MOST_RUNS = 8;

/**
 * @param {string} hash
 * @returns {Choices}
 */
export function choicesIn(hash) {
  const fields = new URLSearchParams(hash.replace(/^#\/?/, ""));
  const smoothing = Number(fields.get("smoothing") ?? SMOOTHING);
  return {
    runs: fields.getAll("run").slice(0, MOST_RUNS),
    focus: fields.get("focus") ?? "",
    axis: AXES.find((axis) => axis === fields.get("x")) ?? "step",
    isLog: fields.has("log"),
    smoothing: smoothing >= 0 && smoothing <= 10 ? smoothing : SMOOTHING,
  };
}

/**
 * @param {Choices} choices
 */
export function hashOf({ runs, focus, axis, isLog, smoothing }) {
  const fields = new URLSearchParams();
  for (const run of runs) fields.append("run", run);
  if (focus && focus !== runs.find(Boolean)) fields.set("focus", focus);
  if (axis !== "step") fields.set("x", axis);
  if (isLog) fields.set("log", "");
  if (smoothing !== SMOOTHING) fields.set("smoothing", String(smoothing));
  return "#" + String(fields).replaceAll("%2F", "/").replace(/log=(?=&|$)/, "log");
}

/**
 * Overlays a run, in the first colour that is free; the choices as they are where none is.
 *
 * @param {Choices} choices
 * @param {string} name
 * @returns {Choices}
 */
export function withRun(choices, name) {
  if (choices.runs.includes(name)) return choices;
  const runs = [...choices.runs];
  const free = runs.indexOf("");
  if (free >= 0) runs[free] = name;
  else if (runs.length < MOST_RUNS) runs.push(name);
  else return choices;
  return { ...choices, runs };
}

/**
 * Takes a run away; the others keep their colours.
 *
 * @param {Choices} choices
 * @param {string} name
 * @returns {Choices}
 */
export function withoutRun(choices, name) {
  const runs = choices.runs.map((run) => run === name ? "" : run);
  while (runs.length > 0 && runs.at(-1) === "") runs.pop();
  return { ...choices, runs, focus: choices.focus === name ? "" : choices.focus };
}

/**
 * The run that all that is not a curve is about.
 *
 * @param {Choices} choices
 */
export function focusOf({ runs, focus }) {
  return focus && runs.includes(focus) ? focus : runs.find(Boolean) ?? "";
}

// @ts-check
/// <reference lib="dom" />
/**
 * The focused run's events and samples, newest first.
 *
 * @module
 */

import { el, fill } from "./dom.js";
import { severityOf, wordsOf } from "./event_words.js";
import { clock, whole } from "./format.js";

/** @import { Run } from "./run.js" */

const MOST_SAMPLES = 40;

/**
 * @param {HTMLElement} host
 * @param {Run} run
 * @param {boolean} onlyTrouble warnings and errors
 */
export function drawEvents(host, run, onlyTrouble) {
  const events = run.events.filter((event) =>
    event.event !== "sample" && !(onlyTrouble && severityOf(event) === "info")
  );
  if (events.length === 0) {
    return fill(host, el("p", { class: "empty" }, onlyTrouble ? "No warnings." : "No events on record."));
  }
  const rows = events.toReversed().map((event) =>
    el(
      "li",
      { "data-severity": severityOf(event) },
      el("time", { datetime: event.at }, clock(event.at)),
      el("span", { class: "step", title: "last step before it" }, whole(event.step)),
      el("span", { class: "words" }, wordsOf(event)),
    )
  );
  const before = run.eventsBefore > 0 &&
    el("p", { class: "empty" }, `${whole(run.eventsBefore)} earlier ones in events.jsonl`);
  fill(host, el("ol", { class: "events" }, rows), before);
}

/**
 * @param {HTMLElement} host
 * @param {Run} run
 */
export function drawSamples(host, run) {
  const samples = run.events.flatMap((event) => event.event === "sample" ? [event] : []).slice(-MOST_SAMPLES);
  if (samples.length === 0) {
    return fill(
      host,
      el("p", { class: "empty" }, "No samples. ", el("code", {}, "eval.samples"), " asks for them."),
    );
  }
  fill(
    host,
    samples.toReversed().map(({ step, at, prompt, text }) =>
      el(
        "article",
        { class: "sample" },
        el("header", {}, `step ${whole(step)}`, el("time", { datetime: at }, clock(at))),
        el("pre", {}, el("span", { class: "prompt" }, prompt), text),
      )
    ),
  );
}

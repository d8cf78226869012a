/**
 * Shows a run: one redrawn line on a terminal, plain lines in a pipe, JSON lines with `--json`.
 *
 * @module
 */

import { stringifyJson } from "../src/json.ts";
import type { StepMetrics } from "../src/run/folder/metrics.ts";
import type { RunEvent, RunListener } from "../src/run/folder/log.ts";
import { lossChart } from "../src/watch/chart.ts";
import { lossesIn } from "../src/watch/loss_curve.ts";
import { clock } from "../src/watch/words.ts";
import { cardLines, endLines, failureLine, type StartedRun } from "./card.ts";
import { say, stdout } from "./output.ts";
import type { Tools } from "./tool.ts";

/** In a pipe a step is shown at most this often (ms); evaluations and the last step always are. */
const PLAIN_INTERVAL = 2000;
/** What a tool says when a signal ends it: one that trains, and one that takes part in a run of others. */
export const SAVES = "ends: finishes the step and saves; a second signal ends it without saving";
export const LEAVES =
  "leaves the run as soon as nothing is lost with it; a second signal keeps its state here, a third ends it at once";
export const COORDINATES =
  "ends: finishes the step and saves; a second signal leaves a checkpoint in flight where it is, a third ends it " +
  "at once";
/** Lines of the loss's chart, which leave room for the card's on the smallest terminal. */
const CHART_LINES = 10;
/** Characters of a line where the terminal does not tell. */
const USUAL_COLUMNS = 80;

/**
 * The line of a step: progress, loss, speed, time left.
 *
 * @param width most characters: what matters least is left out
 */
export function stepLine(
  metrics: StepMetrics,
  steps: number,
  secondsPerStep: number,
  width = Infinity,
): string {
  const { step, loss, tokensPerSecond, gradNorm, workers, applied } = metrics;
  const norm = Number.isFinite(gradNorm) ? [`norm ${gradNorm.toPrecision(3)}`] : [];
  const speed = `${Math.round(tokensPerSecond).toLocaleString("en")} tokens/s`;
  const where = workers === 0 ? "in one process" : `${workers} worker${workers === 1 ? "" : "s"}`;
  const left = `${clock((steps - step) * secondsPerStep)} left`;
  const parts = new Set([
    `step ${String(step).padStart(String(steps).length)}/${steps}`,
    applied ? `loss ${loss.toFixed(4)}` : "skipped",
    ...norm,
    speed,
    where,
    left,
  ]);
  const line = () => [...parts].join("  ");
  for (const least of [...norm, where, speed, left]) {
    if (line().length > width) parts.delete(least);
  }
  return line().slice(0, width);
}

/** The line of an evaluation, and of a run's end. */
export function eventLine(event: Extract<RunEvent, { kind: "evaluated" | "finished" }>): string {
  switch (event.kind) {
    case "evaluated":
      return `step ${event.metrics.step}: validation loss ${event.metrics.valLoss.toFixed(4)} nats per token`;
    case "finished": {
      const { steps, loss, valLoss, seconds, interrupted } = event.summary;
      const losses = steps > 0 ? [`loss ${loss.toFixed(4)}`] : [];
      if (valLoss !== null) losses.push(`validation loss ${valLoss.toFixed(4)}`);
      return `${interrupted ? "stopped" : "done"} after step ${steps}: ${
        [...losses, clock(seconds)].join(", ")
      }`;
    }
  }
}

/** A run that is shown. */
export interface ShownRun extends StartedRun {
  /** Its last step. */
  steps: number;
  /** Where it can be watched. */
  page?: string;
  /** Write metrics as JSON lines instead; a run whose lines are not read any more ends. */
  json: boolean;
  /** Is shown when a signal ends it. */
  ending: string;
}

/** A listener that shows a run on standard output (status lines go to standard error). The run never waits for it. */
export function showRun({ steps, json, ending, page, ...run }: ShownRun, tools: Tools): RunListener {
  const { signal } = tools;
  const terminal = Deno.stdout.isTerminal() && !json;
  const erase = terminal ? "\r\x1b[K" : "";
  let shown = 0; // when the last step was shown, ms
  let before: number | undefined; // when the step before this one ended, ms
  let pace: number | undefined; // seconds per step, smoothed

  watchOutput(json, tools);
  const status = statusTeller(json);
  signal.addEventListener("abort", () => status(ending));

  const step = (metrics: StepMetrics) => {
    const now = Date.now();
    const seconds = metrics.tokens / metrics.tokensPerSecond || (now - (before ?? now)) / 1000;
    pace = pace === undefined ? seconds : 0.9 * pace + 0.1 * seconds;
    before = now;
    if (terminal) {
      if (stdout.isIdle) stdout.show(erase + stepLine(metrics, steps, pace, columns() - 1));
      return;
    }
    if (now - shown < PLAIN_INTERVAL && metrics.step < steps) return;
    shown = now;
    stdout.show(stepLine(metrics, steps, pace) + "\n");
  };

  const show = (lines: readonly string[]) => stdout.show(erase + lines.map((line) => line + "\n").join(""));
  /** The curve of the whole run, earlier starts included. */
  const chart = () =>
    lossChart(lossesIn(`${run.folder}/metrics.jsonl`), Math.min(columns(), USUAL_COLUMNS) - 1, CHART_LINES);
  const happened = ({ event, text }: RunEvent & { kind: "happened" }) => {
    if (event.event === "started") {
      tools.advice = failureLine(run);
      if (json) stdout.show(stringifyJson({ card: event.card, page }) + "\n");
      else show(cardLines(event.card, steps, page));
    }
    if (text !== undefined) status(text);
  };

  return (event) => {
    if (event.kind === "finished") tools.advice = undefined;
    if (json && isShownAsJson(event)) return stdout.show(stringifyJson(jsonOf(event)) + "\n");
    switch (event.kind) {
      case "status":
        return status(event.text);
      case "happened":
        return happened(event);
      case "step":
        return step(event.metrics);
      case "evaluated":
        return show([eventLine(event)]);
      case "finished":
        return show([
          ...(terminal ? chart() : []),
          eventLine(event),
          ...endLines(run, event.summary),
        ]);
    }
  };
}

/** A run whose output can't be written continues, unless it is `--json` and its reader has gone. */
export function watchOutput(json: boolean, { endUnread }: Tools): void {
  stdout.onLoss = ({ message, isClosed }) => {
    const ends = json && isClosed;
    say(`${message}; ${ends ? "the run ends" : "the run continues, and its folder has everything"}`);
    if (ends) endUnread();
  };
}

/** Shows a line on standard error, in place of the redrawn one where there is one. */
export function statusTeller(json: boolean): (text: string) => void {
  const isBesideRedrawn = Deno.stdout.isTerminal() && Deno.stderr.isTerminal() && !json;
  return (text) => say((isBesideRedrawn ? "\r\x1b[K" : "") + text);
}

/** What `--json` shows besides the card. */
type ShownAsJson = Extract<RunEvent, { kind: "step" | "evaluated" | "finished" }>;

function isShownAsJson(event: RunEvent): event is ShownAsJson {
  return event.kind === "step" || event.kind === "evaluated" || event.kind === "finished";
}

function jsonOf(event: ShownAsJson): unknown {
  return event.kind === "finished" ? { summary: event.summary } : event.metrics;
}

/** Characters of a line of the terminal: a redrawn line that is longer would leave its beginning behind. */
export function columns(): number {
  try {
    return Deno.consoleSize().columns || USUAL_COLUMNS;
  } catch {
    return USUAL_COLUMNS; // it does not tell
  }
}

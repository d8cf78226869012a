/**
 * Runs in a terminal: a table of them, and two beside each other.
 *
 * @module
 */

import { printableLine } from "../printable.ts";
import { lossChartOfTwo, type LossPoint } from "./chart.ts";
import { between } from "./differences.ts";
import type { StepTable } from "./steps.ts";
import type { RunItem, WatchedRun } from "./watched_run.ts";
import { clock, lossText, shortened, valueText, wholeText, wrapped } from "./words.ts";

/** Lines of a chart. */
const CHART_HEIGHT = 14;
/** Steps that a chart is made of. */
const CHART_POINTS = 1000;
/** Characters of a run's name, at most. */
const NAME = 24;

/** Rows of texts, each column as wide as its widest; the first is at the left, others at the right. */
export function tableOf(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  return rows.map((row) =>
    row.map((text, i) => i === 0 ? text.padEnd(widths[i]) : text.padStart(widths[i])).join("  ").trimEnd()
  );
}

/**
 * A table of runs; below each what its configuration differs in from the defaults.
 *
 * @param width characters of a line
 */
export function runsTable(items: readonly RunItem[], width: number): string[] {
  const head = ["run", "state", "steps", "loss", "best val", "tokens/s", "time"];
  const rows = items.map((item) => [
    shortened(printableLine(item.name), NAME),
    item.state,
    `${item.step}/${item.steps}`,
    lossText(item.loss),
    lossText(item.best?.valLoss),
    wholeText(item.tokensPerSecond),
    clock(item.elapsed),
  ]);
  const [title, ...lines] = tableOf([head, ...rows]);
  return [title, ...lines.flatMap((line, i) => [line, ...differencesOf(items[i], width)])];
}

function differencesOf({ differs }: RunItem, width: number): string[] {
  const texts = Object.entries(differs).map(([path, value]) => printableLine(`${path} ${valueText(value)}`));
  return wrapped(texts, width, "  ");
}

/** Two runs beside each other: their numbers, what their configurations differ in, and their losses. */
export function comparison(a: WatchedRun, b: WatchedRun, width: number): string[] {
  const numbers = (label: string, text: (item: RunItem) => string) => [label, text(a.item), text(b.item)];
  const name = ({ item }: WatchedRun) => shortened(printableLine(item.name), 2 * NAME);
  const table = tableOf([
    ["", "a", "b"],
    numbers("state", ({ state }) => state),
    numbers("steps", ({ step, steps }) => `${step}/${steps}`),
    numbers("loss", ({ loss }) => lossText(loss)),
    numbers("validation loss", ({ valLoss }) => lossText(valLoss)),
    numbers("best validation loss", ({ best }) => lossText(best?.valLoss)),
    numbers("at step", ({ best }) => best ? String(best.step) : "–"),
    numbers("tokens/s", ({ tokensPerSecond }) => wholeText(tokensPerSecond)),
    numbers("time", ({ elapsed }) => clock(elapsed)),
    numbers("workers", ({ workers }) => String(workers)),
  ]);
  const differing = between(a.config, b.config).map((difference) =>
    [difference.path, valueText(difference.a), valueText(difference.b)].map((text) =>
      shortened(printableLine(text), Math.floor(width / 3))
    )
  );
  const chart = lossChartOfTwo(lossesOf(a.steps), lossesOf(b.steps), width, CHART_HEIGHT);
  return [
    `a: ${name(a)}`,
    `b: ${name(b)}`,
    "",
    ...table,
    "",
    ...(differing.length > 0
      ? tableOf([["configuration", "a", "b"], ...differing])
      : ["Their configurations do not differ."]),
    ...(chart.length > 0 ? ["", "training loss (a, b, * both)", ...chart] : []),
  ];
}

function lossesOf(steps: StepTable): LossPoint[] {
  const { step, loss } = steps.thin(CHART_POINTS);
  return step.map((step, i) => ({ step, loss: loss[i] }));
}

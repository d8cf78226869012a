/**
 * What a run is, when it starts, and what can be done with it, when it ends: aligned lines for an 80-column terminal.
 *
 * @module
 */

import type { RunCard } from "../src/run/folder/events.ts";
import type { Summary } from "../src/run/folder/summary.ts";
import { bytesText } from "../src/watch/words.ts";

/** Column in which what is said begins. */
const INDENT = 10;
const WIDTH = 80;

/**
 * The lines of a run that starts. Only a folder or an address that is longer than a line makes one longer: cut, it would be of
 * no use.
 *
 * @param steps the run's last step
 * @param page where the run can be watched
 */
export function cardLines(card: RunCard, steps: number, page?: string): string[] {
  const { folder, model, text, batch } = card;
  const parts = `${count(text.training)} bytes to train on, ${count(text.validation)} to validate on`;
  return [
    line("run", folder),
    line(
      "model",
      `${short(model.parameters)} parameters, ${bytesText(model.bytes)}, ${
        short(model.flopsPerToken)
      } FLOP a token`,
    ),
    line("text", `${shortened(text.source, WIDTH - INDENT - parts.length - 2)}: ${parts}`),
    line("steps", `${count(steps)}, which see the text ${times(text.epochs)}`),
    line(
      "batch",
      `${count(batch.tokens)} tokens a step, in ${plural(batch.microBatches, "micro-batch", "es")}`,
    ),
    line("machine", machineText(card.machine)),
    ...(page === undefined ? [] : [line("watch", page)]),
  ];
}

/** How a run was started, and is continued. */
export interface StartedRun {
  /** Its folder. */
  folder: string;
  /** The task that resumes it. */
  task: "train" | "coordinator";
}

/** The lines of a run that has ended: what was computed, and the next commands. */
export function endLines(run: StartedRun, { steps, interrupted, paramsHash }: Summary): string[] {
  const generate = `deno task generate ${quoted(run.folder)} --prompt "The "`;
  const longer = resumeCommand(run) + (interrupted ? "" : ` --steps ${2 * steps}`);
  return [
    line("run", run.folder),
    ...(paramsHash === "" ? [] : [line("params", `SHA-256 ${paramsHash.slice(0, 16)}…`)]),
    ...(steps === 0 ? [] : [line("generate", generate)]),
    line(interrupted ? "continue" : "longer", longer),
  ];
}

/** The line of a run that has failed. */
export function failureLine(run: StartedRun): string {
  return line("continue", resumeCommand(run));
}

function resumeCommand({ folder, task }: StartedRun): string {
  return `deno task ${task} --resume ${quoted(folder)}`;
}

function line(label: string, text: string): string {
  return label.padEnd(INDENT) + text;
}

function machineText(machine: RunCard["machine"]): string {
  if (!machine) return "none here: workers join, from this machine or others";
  const { workers, device, threads, memory } = machine;
  const what = workers === 0 ? "in one process" : plural(workers, "worker");
  const each = workers > 1 ? " each" : "";
  const most = memory === undefined ? [] : [`some ${bytesText(memory)} of memory${each}`];
  const rest = [`${plural(threads, "thread")}${each}`, ...most].join(", ");
  const room = WIDTH - INDENT - `${what} on , ${rest}`.length;
  return `${what} on ${device.length <= room ? device : `${device.slice(0, room - 1)}…`}, ${rest}`;
}

/** "12,345". */
function count(value: number): string {
  return value.toLocaleString("en");
}

function plural(value: number, noun: string, ending = "s"): string {
  return `${count(value)} ${noun}${value === 1 ? "" : ending}`;
}

/** Three digits: "532 thousand", "13.4 million". */
function short(value: number): string {
  const scales = [[1e12, "trillion"], [1e9, "billion"], [1e6, "million"], [1e3, "thousand"]] as const;
  const [unit, name] = scales.find(([unit]) => value >= unit) ?? [1, ""];
  return `${digits(value / unit)} ${name}`.trimEnd();
}

/** Two digits below 10, else whole numbers. */
function digits(value: number): string {
  return value < 10 ? String(Number(value.toPrecision(2))) : String(Math.round(value));
}

/** How often a text is seen. */
function times(epochs: number): string {
  return epochs < 0.01 ? "less than 0.01 times" : `${digits(epochs)} times`;
}

/** The end of a text that is too long, which of a path says most. */
function shortened(text: string, most: number): string {
  return text.length <= most ? text : `…${text.slice(text.length - most + 1)}`;
}

/** A path as a shell takes it. */
function quoted(path: string): string {
  return /^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
}

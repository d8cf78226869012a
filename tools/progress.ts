/**
 * Shows a run: one redrawn line on a terminal, plain lines in a pipe, JSON lines with `--json`.
 *
 * @module
 */

import type { StepMetrics } from "../src/run/folder.ts";
import type { RunEvent, RunListener } from "../src/run/events.ts";

/** In a pipe a step is shown at most this often (ms); evaluations and the last step always are. */
const PLAIN_INTERVAL = 2000;

/** "1:05", "2:03:00". */
export function clock(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (n: number) => String(n).padStart(2, "0");
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** One step in words: progress, loss, speed, time left. */
export function stepLine(metrics: StepMetrics, steps: number, secondsPerStep: number): string {
  const { step, loss, tokensPerSecond, gradNorm, workers, applied } = metrics;
  return [
    `step ${String(step).padStart(String(steps).length)}/${steps}`,
    applied ? `loss ${loss.toFixed(4)}` : "skipped",
    ...(Number.isFinite(gradNorm) ? [`norm ${gradNorm.toPrecision(3)}`] : []),
    `${Math.round(tokensPerSecond).toLocaleString("en")} tokens/s`,
    workers === 0 ? "in one process" : `${workers} worker${workers === 1 ? "" : "s"}`,
    `${clock((steps - step) * secondsPerStep)} left`,
  ].join("  ");
}

/** Turns the rest of a run's events into a line, or nothing. */
function otherLine(event: Exclude<RunEvent, { kind: "step" }>): string | undefined {
  switch (event.kind) {
    case "status":
      return event.text;
    case "evaluated":
      return `step ${event.metrics.step}: validation loss ${event.metrics.valLoss.toFixed(4)} nats per token`;
    case "saved":
      return; // of interest only when it fails
    case "finished": {
      const { steps, loss, valLoss, seconds, paramsHash, interrupted } = event.summary;
      // A run that was stopped before its first step has no loss: NaN, or null when it came from another process.
      const losses = Number.isFinite(loss) ? [`loss ${loss.toFixed(4)}`] : [];
      if (valLoss !== null) losses.push(`validation loss ${valLoss.toFixed(4)}`);
      return [
        `${interrupted ? "stopped" : "done"} after step ${steps}: ${[...losses, clock(seconds)].join(", ")}`,
        ...(paramsHash === "" ? [] : [`parameters ${paramsHash.slice(0, 16)}`]),
      ].join(", ");
    }
  }
}

/**
 * A listener that shows a run of `steps` steps on standard output (status lines go to standard error).
 *
 * @param json write metrics as JSON lines instead
 */
export function showRun(steps: number, json: boolean): RunListener {
  const terminal = Deno.stdout.isTerminal() && !json;
  const erase = terminal ? "\r\x1b[K" : "";
  let shown = 0; // when the last step was shown, ms
  let before: number | undefined; // when the step before this one ended, ms
  let pace: number | undefined; // seconds per step, smoothed

  const write = (text: string, to: typeof Deno.stdout | typeof Deno.stderr = Deno.stdout) =>
    to.writeSync(new TextEncoder().encode(text));
  const step = (metrics: StepMetrics) => {
    const now = Date.now();
    const seconds = metrics.tokens / metrics.tokensPerSecond || (now - (before ?? now)) / 1000;
    pace = pace === undefined ? seconds : 0.9 * pace + 0.1 * seconds;
    before = now;
    const line = stepLine(metrics, steps, pace);
    if (terminal) return write(erase + line);
    if (now - shown < PLAIN_INTERVAL && metrics.step < steps) return;
    shown = now;
    write(line + "\n");
  };

  return (event) => {
    if (json) {
      if (event.kind === "status") write(event.text + "\n", Deno.stderr);
      else if (event.kind === "finished") write(JSON.stringify({ summary: event.summary }) + "\n");
      else if (event.kind !== "saved") write(JSON.stringify(event.metrics) + "\n");
      return;
    }
    if (event.kind === "step") return step(event.metrics);
    const line = otherLine(event);
    if (line !== undefined) write(erase + line + "\n", event.kind === "status" ? Deno.stderr : Deno.stdout);
  };
}

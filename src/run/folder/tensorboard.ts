/**
 * What a run tells TensorBoard, in `tensorboard/` of its folder: all that is on record when the run starts, then each step,
 * evaluation and sample as it comes.
 *
 * @module
 */

import { type Config, runPart, stringifyConfig } from "../../config/config.ts";
import { errorMessage } from "../../errors.ts";
import { printableLine } from "../../printable.ts";
import { isRecord } from "../../records.ts";
import { type EventWriter, replaceEvents } from "../../tensorboard/event_files.ts";
import { hyperparameters, scalars, text } from "../../tensorboard/events.ts";
import type { SampleEvent } from "./events_file.ts";
import { type EvaluationMetrics, isStep, type StepMetrics } from "./metrics.ts";
import type { RunFolder } from "./run_folder.ts";

/** The curves of a step, by tag: TensorBoard shows those with the same word before the slash together. */
const CURVES = {
  "loss/training": "loss",
  "optimizer/gradient_norm": "gradNorm",
  "optimizer/learning_rate": "lr",
  "optimizer/applied": "applied",
  "step/tokens": "tokens",
  "step/tokens_per_second": "tokensPerSecond",
  "step/bytes_sent": "bytesSent",
  "step/bytes_received": "bytesReceived",
  "step/workers": "workers",
} as const satisfies Record<string, keyof StepMetrics>;

/** Characters of a prompt, from its end, in the name of its samples. */
const PROMPT = 40;

/** Writes for TensorBoard. A run continues without: the first error is told, and nothing more is written. */
export class TensorBoardLog implements Disposable {
  #writer: EventWriter | undefined;
  #hasFailed = false;

  /**
   * Writes what the folder has on record.
   *
   * @param say receives the error
   */
  constructor(
    private readonly folder: RunFolder,
    private readonly config: Config,
    private readonly say: (text: string) => void,
  ) {
    this.restart();
  }

  /** Writes what the folder has on record in place of all that was written. */
  restart(): void {
    this[Symbol.dispose]();
    this.#attempt(() => this.#writer = replaceEvents(this.folder.tensorboard, this.#history()));
  }

  /** Adds a step or an evaluation. */
  add(metrics: StepMetrics | EvaluationMetrics): void {
    this.#attempt(() => this.#writer?.write(pointsOf(metrics, secondsOf(metrics.at))));
  }

  /** Adds a sample. */
  addSample(sample: SampleEvent): void {
    this.#attempt(() => this.#writer?.write(textOf(sample)));
  }

  /** Closes the file. */
  [Symbol.dispose](): void {
    this.#writer?.[Symbol.dispose]();
    this.#writer = undefined;
  }

  *#history(): Generator<Uint8Array> {
    const metrics = this.folder.metrics();
    const { elapsed } = metrics.findLast(isStep) ?? { elapsed: 0 };
    const began = Date.now() / 1000 - elapsed;
    yield hyperparameters(began, flat(runPart(this.config)));
    yield text({ step: 0, time: began }, "configuration", asCode(stringifyConfig(this.config)));
    let time = began; // flashmob 0.1 wrote no times
    for (const line of metrics) {
      if (line.at !== undefined) time = secondsOf(line.at);
      else if (isStep(line)) time = began + line.elapsed;
      yield pointsOf(line, time);
    }
    yield* this.folder.events.samples().map(textOf);
  }

  #attempt(write: () => void): void {
    if (this.#hasFailed) return;
    try {
      write();
    } catch (error) {
      this.#hasFailed = true;
      this.say(
        `${this.folder.tensorboard} can't be written, and the run continues without it: ${
          errorMessage(error)
        }. ` +
          "The next start of the run writes all of it again",
      );
    }
  }
}

/** What a line of metrics adds to the curves. Lines of earlier versions may lack some of it. */
function pointsOf(metrics: StepMetrics | EvaluationMetrics, time: number): Uint8Array {
  const { step } = metrics;
  if (!isStep(metrics)) return scalars({ step, time }, { "loss/validation": metrics.valLoss });
  const points = Object.entries(CURVES).filter(([, key]) => metrics[key] !== undefined);
  return scalars({ step, time }, Object.fromEntries(points.map(([tag, key]) => [tag, Number(metrics[key])])));
}

/** A sample as text: all of a prompt are shown together. */
function textOf({ at, step, prompt, text: continuation }: SampleEvent): Uint8Array {
  const tag = `samples/${printableLine(prompt.slice(-PROMPT))}`;
  return text({ step, time: secondsOf(at) }, tag, asCode(prompt + continuation));
}

/** Seconds since 1970. */
function secondsOf(at: string): number {
  return Date.parse(at) / 1000;
}

/** The values of a configuration by dotted path; lists as JSON. */
function flat(section: object, parent = ""): Record<string, number | string | boolean> {
  return Object.fromEntries(
    Object.entries(section).flatMap(([key, value]): [string, number | string | boolean][] => {
      const path = parent + key;
      if (value === undefined) return [];
      if (isRecord(value)) return Object.entries(flat(value, `${path}.`));
      return [[path, typeof value === "object" ? JSON.stringify(value) : value]];
    }),
  );
}

/** A text that Markdown leaves as it is. */
function asCode(plain: string): string {
  return plain.split("\n").map((line) => `    ${line}`).join("\n");
}

/** TensorBoard's events of a run whose configuration wants them. */
export function openTensorBoard(
  folder: RunFolder,
  config: Config,
  say: (text: string) => void,
): TensorBoardLog | undefined {
  return config.log.tensorboard ? new TensorBoardLog(folder, config, say) : undefined;
}

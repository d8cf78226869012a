/** Folders of runs as training leaves them, written by a test: curves that look like a run's, at any length, without training. */

import { stringifyJson } from "../../../src/json.ts";
import type { RecordedEvent, RunCard } from "../../../src/run/folder/events.ts";
import type { MembersLine } from "../../../src/run/folder/members.ts";

/** Seconds of a step. */
const STEP = 0.25;
const TOKENS = 8192;
const START = Date.UTC(2026, 10, 1, 9);

/** What a written run is. */
export interface WrittenRunOptions {
  /** Wanted. */
  steps: number;
  /** Shifts its curves. */
  rate?: number;
  config?: Record<string, Record<string, unknown>>;
  card?: Partial<RunCard>;
}

/** A run's folder to which a test adds lines. */
export class WrittenRun {
  /** Steps on record. */
  step = 0;
  readonly #rate: number;

  constructor(readonly path: string, readonly options: WrittenRunOptions) {
    this.#rate = options.rate ?? 1e-3;
    Deno.mkdirSync(path, { recursive: true });
    const { config = {}, steps } = options;
    const full = { ...config, train: { steps, ...config.train } };
    Deno.writeTextFileSync(`${path}/config.yaml`, JSON.stringify(full));
    for (const file of ["metrics", "events", "members"]) Deno.writeTextFileSync(`${path}/${file}.jsonl`, "");
    this.happens({ event: "started", step: 0, card: { ...card(path), ...options.card } });
  }

  /** Trains so many steps, with an evaluation after every `evalEvery`. */
  train(steps: number, { evalEvery = 100, skipped = [] as number[] } = {}): void {
    const lines: string[] = [];
    for (const end = this.step + steps; this.step < end;) {
      const step = ++this.step, at = this.timeAt(step), applied = !skipped.includes(step);
      const loss = this.#loss(step) * (1 + 0.05 * noise(step)),
        speed = TOKENS / STEP * (1 + 0.06 * noise(3 * step));
      lines.push(stringifyJson({
        ...{ step, at, loss: applied ? loss : NaN, tokens: TOKENS, tokensPerSecond: speed, applied },
        ...{
          gradNorm: applied ? 0.3 + loss / 4 * (1 + 0.3 * noise(7 * step)) : NaN,
          workers: 4,
          generation: 1,
        },
        ...{ lr: this.#lr(step), elapsed: step * STEP, bytesSent: 8.2e6, bytesReceived: 8.2e6 },
      }));
      if (step % evalEvery === 0) lines.push(stringifyJson({ step, at, valLoss: this.#loss(step) * 1.03 }));
    }
    this.#add("metrics", lines);
  }

  /** Something happens after the last step. */
  happens(...events: WithoutTime[]): void {
    this.#add("events", events.map((event) => stringifyJson({ at: this.timeAt(this.step), ...event })));
  }

  /** The members report. */
  report(members: MembersLine["members"]): void {
    this.#add("members", [
      JSON.stringify({ at: this.timeAt(this.step), step: this.step, seconds: 10, members }),
    ]);
  }

  /** The clock at a step. */
  timeAt(step: number): string {
    return new Date(START + 1000 * STEP * step).toISOString();
  }

  #loss(step: number): number {
    return 1.1 + 4.4 / (1 + step * 40 * this.#rate) ** 0.5;
  }

  #lr(step: number): number {
    return this.#rate * Math.min(1, step / 50) *
      (0.55 + 0.45 * Math.cos(Math.PI * step / this.options.steps));
  }

  #add(file: string, lines: string[]): void {
    Deno.writeTextFileSync(`${this.path}/${file}.jsonl`, lines.map((line) => line + "\n").join(""), {
      append: true,
    });
  }
}

// deno-lint-ignore no-explicit-any
type WithoutTime = RecordedEvent extends infer Event ? Event extends any ? Omit<Event, "at"> : never : never;

/** How a member has spent ten seconds. */
export function usage(computing: number, range: [number, number]): MembersLine["members"][string] {
  const exchanging = (10 - computing) * 0.6;
  return {
    ...{ device: "cpu", range, computing, exchanging, waiting: 10 - computing - exchanging },
    ...{ bytesSent: 82e6, bytesReceived: 82e6, memory: 6.1e8, heardAgo: 0.4 },
  };
}

function card(folder: string): RunCard {
  return {
    ...{ folder, run: "demo", model: { parameters: 518_144, bytes: 2_072_576, flopsPerToken: 3.4e6 } },
    text: { source: "State of the Union", training: 9_700_000, validation: 510_000, epochs: 0.85 },
    batch: { tokens: TOKENS, microBatches: 16 },
    machine: { workers: 4, device: "cpu", threads: 1, memory: 640_000_000 },
  };
}

/** From -1 to 1, the same for the same number. */
function noise(n: number): number {
  const x = Math.sin(n * 12.9898) * 43758.5453;
  return 2 * (x - Math.floor(x)) - 1;
}

/**
 * `events.jsonl`: what happened to a run besides its steps, one line each, in order. A resume reads from it which checkpoints
 * must exist.
 *
 * @module
 */

import { errorMessage } from "../../errors.ts";
import { stringifyJson } from "../../json.ts";
import { type RecordedEvent, recordedEventSchema } from "./events.ts";
import { addLine } from "./step_lines.ts";

/** A checkpoint that is complete. */
export type SavedEvent = RecordedEvent & { event: "saved" };

/** A continuation of a prompt. */
export type SampleEvent = RecordedEvent & { event: "sample" };

/** `events.jsonl` in a run's folder. */
export class EventsFile {
  /** Reads and writes nothing yet. */
  constructor(readonly path: string) {}

  /** Adds a line, which outlives the process once this returns. A run continues without it: returns why it can't be written. */
  add(event: RecordedEvent): string | undefined {
    try {
      addLine(this.path, stringifyJson(event));
    } catch (error) {
      return `${this.path} can't be written: ${errorMessage(error)}`;
    }
  }

  /** Whether there is one: runs of flashmob 0.1 have none. */
  get exists(): boolean {
    return this.#lines() !== undefined;
  }

  /** The newest checkpoint that the run has written and that still counts; undefined where there is none on record. */
  lastSave(): SavedEvent | undefined {
    const saves: SavedEvent[] = []; // their steps rise
    const forgetFrom = (step: number) => {
      while (saves.length > 0 && saves.at(-1)!.step >= step) saves.pop();
    };
    for (const event of this.#events()) {
      if (event.event === "resumed") forgetFrom(event.step + 1);
      if (event.event !== "saved") continue;
      forgetFrom(event.step);
      saves.push(event);
    }
    return saves.at(-1);
  }

  /** The samples that still count, in order. */
  samples(): SampleEvent[] {
    let samples: SampleEvent[] = [];
    for (const event of this.#events()) {
      if (event.event === "sample") samples.push(event);
      if (event.event === "resumed") samples = samples.filter(({ step }) => step <= event.step);
    }
    return samples;
  }

  /** All events. A torn line is skipped, and an event that only a later version knows. */
  #events(): RecordedEvent[] {
    return (this.#lines() ?? []).flatMap((line) => {
      try {
        return recordedEventSchema.safeParse(JSON.parse(line)).data ?? [];
      } catch {
        return [];
      }
    });
  }

  #lines(): string[] | undefined {
    try {
      return Deno.readTextFileSync(this.path).split("\n");
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
}

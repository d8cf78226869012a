/**
 * `events.jsonl`: what happened to a run besides its steps, one line each, in order. A resume reads from it which checkpoints
 * must exist.
 *
 * @module
 */

import { z } from "zod";
import { errorMessage } from "../../errors.ts";

/** A checkpoint that is complete. */
export interface SavedEvent {
  event: "saved";
  /** Of the state. */
  step: number;
  /** The member whose state it is; "single" for a run without workers. */
  member: string;
  /** Its folder, on the machine named by `elsewhere`, or else in the run's own. */
  place: string;
  /** Whether it is on the member's machine, and not in the run's folder. */
  elsewhere?: true;
}

/** The run was resumed: later steps before this line are done again, and their checkpoints do not count. */
export interface ResumedEvent {
  event: "resumed";
  /** The step that it continued from. */
  step: number;
}

/** A line without its time. */
export type RecordedEvent = SavedEvent | ResumedEvent;

const step = z.int().min(0);
/** Later versions may write other events, which are ignored. */
const schema = z.discriminatedUnion("event", [
  z.object({
    event: z.literal("saved"),
    step,
    member: z.string(),
    place: z.string(),
    elsewhere: z.literal(true).optional(),
  }),
  z.object({ event: z.literal("resumed"), step }),
]);

/** `events.jsonl` in a run's folder. */
export class EventsFile {
  /** Reads and writes nothing yet. */
  constructor(readonly path: string) {}

  /** Adds a line, which outlives the process once this returns. A run continues without it: returns why it can't be written. */
  add(event: RecordedEvent): string | undefined {
    const line = JSON.stringify({ at: new Date().toISOString(), ...event }) + "\n";
    try {
      Deno.writeTextFileSync(this.path, line, { append: true });
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
    let saves: SavedEvent[] = [];
    for (const event of this.#events()) {
      if (event.event === "saved") saves = [...saves.filter((save) => save.step < event.step), event];
      else saves = saves.filter((save) => save.step <= event.step);
    }
    return saves.at(-1);
  }

  /** All events; a torn line is skipped. */
  #events(): RecordedEvent[] {
    return (this.#lines() ?? []).flatMap((line) => {
      try {
        return schema.safeParse(JSON.parse(line)).data ?? [];
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

/**
 * What happened to a run besides its steps, from `events.jsonl`: the last events, and what they say about the run as a whole.
 *
 * @module
 */

import { type RecordedEvent, recordedEventSchema, type RunCard } from "../run/folder/events.ts";

/** How a run ended. */
export type Outcome = "done" | "stopped" | "failed";

/** Events that are held. */
const KEPT = 300;

/** The lines of `events.jsonl`. */
export class EventLog {
  /** The last of them, in order. */
  readonly latest: RecordedEvent[] = [];
  /** How many there were. */
  count = 0;
  /** What the run is, as it said at its last start. */
  card: RunCard | undefined;
  /** When the first of them happened, ISO 8601. */
  first: string | undefined;
  /** How the run ended; undefined while it runs, and where nothing says so. */
  outcome: Outcome | undefined;

  /** Adds a line; one that is torn, or of a later version, is passed over. */
  add(text: string): void {
    const event = eventOf(text);
    if (!event) return;
    this.count++;
    this.first ??= event.at;
    this.latest.push(event);
    if (this.latest.length > KEPT) this.latest.shift();
    if (event.event === "started") this.card = event.card;
    if (event.event === "ended") this.outcome = event.outcome;
    else if (["started", "resumed", "failover"].includes(event.event)) this.outcome = undefined;
  }

  /** Events from number `from` on, counted from 0, as far as they are held. */
  since(from: number): RecordedEvent[] {
    const fresh = this.count - from;
    return fresh <= 0 ? [] : this.latest.slice(-fresh);
  }
}

function eventOf(text: string): RecordedEvent | undefined {
  try {
    return recordedEventSchema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

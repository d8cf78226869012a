/**
 * What is new in some runs, sent to a page as it comes. Folders are looked at for as long as a page listens, and no longer.
 *
 * @module
 */

import { setTimeout as pause } from "node:timers/promises";
import type { EventSender } from "../http/event_stream.ts";
import type { Runs } from "../watch/runs.ts";
import type { Cursor, WatchedRun } from "../watch/watched_run.ts";

/** Milliseconds between two looks. */
const POLL = 500;
/** Milliseconds between two lines of the list. */
const ITEM_POLL = 1_000;
/** Points of one message. */
const MOST_POINTS = 200;

/** What a page has been sent of a run. */
interface Seen {
  cursor: Cursor;
  /** Its line in the list, and when it was sent, ms. */
  item: string;
  itemAt: number;
}

/** Sends what is new in the runs of these names until the page has gone. */
export async function streamRuns(runs: Runs, names: readonly string[], sender: EventSender): Promise<void> {
  const seen = new Map<string, Seen>();
  while (!sender.signal.aborted) {
    for (const name of names) {
      const run = await runs.open(name);
      if (!run) continue; // perhaps its folder is replaced
      const before = seen.get(name) ?? { cursor: run.cursor, item: "", itemAt: 0 };
      seen.set(name, sendNews(name, run, before, sender));
    }
    await pause(POLL, undefined, { signal: sender.signal }).catch(() => {});
  }
}

/** Sends what a page has not seen of a run. */
function sendNews(name: string, run: WatchedRun, { cursor, item, itemAt }: Seen, sender: EventSender): Seen {
  const now = run.cursor;
  const send = (event: string, data: object) => sender.send(event, { name, ...data });
  if (now.epoch !== cursor.epoch) send("reset", {});
  else {
    if (now.steps > cursor.steps) {
      const first = run.steps.value("step", cursor.steps);
      const skipped = run.steps.skipped.filter((step) => step >= first);
      send("steps", { columns: run.steps.thin(MOST_POINTS, cursor.steps), skipped });
    }
    if (now.validation > cursor.validation) {
      send("evaluated", { validation: run.validationSince(cursor.validation) });
    }
    for (const event of run.eventsSince(cursor.events)) send("event", { event });
    if (now.usage > cursor.usage) {
      send("usage", { usage: run.usage.thin(MOST_POINTS, cursor.usage) });
      send("members", { line: run.members });
    }
  }
  const text = JSON.stringify(run.item), time = performance.now();
  if (text === item || time - itemAt < ITEM_POLL && item !== "") return { cursor: now, item, itemAt };
  send("item", { item: run.item });
  return { cursor: now, item: text, itemAt: time };
}

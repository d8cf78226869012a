/**
 * The runs of a folder, read as they are asked for. What was read of the last ones is kept, so that the next look reads only what
 * is new; of the others only their lines in the list.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";
import { infoOf } from "./line_tail.ts";
import { findRun, findRuns, type RunPlace } from "./listing.ts";
import { type RunItem, WatchedRun } from "./watched_run.ts";

/** Runs whose curves are kept; more than one page listens to. */
const KEPT = 64;

/** The runs of a folder. */
export class Runs {
  /** The last ones that were looked at, the latest last. */
  readonly #open = new Map<string, WatchedRun>();
  /** Lines of the list, each with what its folder looked like. */
  #items = new Map<string, { look: string; item: RunItem }>();
  #listing: Promise<RunItem[]> | undefined;

  /** Reads nothing yet; the folder need not be there. */
  constructor(private readonly folder: string) {}

  /** All runs, the newest first; those who ask meanwhile wait for the same list. */
  list(): Promise<RunItem[]> {
    return this.#listing ??= this.#list().finally(() => this.#listing = undefined);
  }

  async #list(): Promise<RunItem[]> {
    const items: RunItem[] = [], known = this.#items;
    this.#items = new Map();
    for (const place of findRuns(this.folder)) {
      const look = lookOf(place.path);
      const before = known.get(place.path);
      const item = before?.look === look ? before.item : await this.#itemOf(place);
      if (item.state !== "running") this.#items.set(place.path, { look, item });
      items.push(item);
    }
    return items.sort((a, b) => (b.started ?? "").localeCompare(a.started ?? ""));
  }

  /** A run by its name in the list, read up to now; undefined where there is none. */
  async open(name: string): Promise<WatchedRun | undefined> {
    const place = findRun(this.folder, name);
    if (!place) return undefined;
    const run = this.#open.get(place.path) ?? new WatchedRun(place);
    this.#keep(run);
    await run.refresh();
    return run;
  }

  /** The line of a run in the list. Only of one that runs more is kept, since it is asked for again. */
  async #itemOf(place: RunPlace): Promise<RunItem> {
    const run = this.#open.get(place.path) ?? new WatchedRun(place);
    await run.refresh();
    if (run.item.state === "running") this.#keep(run);
    return run.item;
  }

  #keep(run: WatchedRun): void {
    this.#open.delete(run.place.path);
    this.#open.set(run.place.path, run);
    const [oldest] = this.#open.keys();
    if (this.#open.size > KEPT) this.#open.delete(oldest);
  }
}

/**
 * The run whose folder it is.
 *
 * @throws {ConfigError} where it holds none
 */
export async function runIn(folder: string): Promise<WatchedRun> {
  const [place, ...others] = findRuns(folder);
  if (place === undefined) throw new ConfigError([`${folder}: there is no run in it`]);
  if (others.length > 0) {
    throw new ConfigError([`${folder}: holds ${others.length + 1} runs; name one of them`]);
  }
  const run = new WatchedRun(place);
  await run.refresh();
  return run;
}

/** What tells whether a run's folder has changed. */
function lookOf(path: string): string {
  const files = ["config.yaml", "metrics.jsonl", "events.jsonl", "summary.json", "run.lock"];
  return files.map((file) => {
    const about = infoOf(`${path}/${file}`);
    return about ? `${about.ino}:${about.size}:${about.mtime?.getTime()}` : "";
  }).join(" ");
}

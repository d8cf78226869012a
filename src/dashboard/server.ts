/**
 * The dashboard's server: the page, and what it asks for. `README.md` has the contract between the two.
 *
 * @module
 */

import { jsonAnswer } from "../http/answers.ts";
import { HttpError } from "../http/problems.ts";
import { type Handler, HttpServer, type ServerOptions } from "../http/server.ts";
import { between } from "../watch/differences.ts";
import { Runs } from "../watch/runs.ts";
import type { WatchedRun } from "../watch/watched_run.ts";
import { streamRuns } from "./live.ts";
import { pageFile } from "./page_files.ts";

/** Points of a curve, at most and by default. */
const MOST_POINTS = 20_000;
const USUAL_POINTS = 2_000;
/** Runs that one page listens to. */
const MOST_LIVE = 32;

/**
 * Serves the runs in a folder, or the one run whose folder it is, which need not be there yet.
 *
 * @throws {RunError} where it can't listen there
 */
export function openDashboard(folder: string, options: ServerOptions): HttpServer {
  return new HttpServer(options, handlerOf(new Runs(folder)));
}

function handlerOf(runs: Runs): Handler {
  const named = async (name: string): Promise<WatchedRun> => {
    const run = await runs.open(name);
    if (!run) throw new HttpError(404, `there is no run of the name ${JSON.stringify(name)}`);
    return run;
  };
  const routes: Record<string, Handler> = {
    "/api/runs": async () => jsonAnswer({ runs: await runs.list() }),
    "/api/run": async (url) => {
      const { item, card, config, events, members } = await named(textOf(url, "name"));
      return jsonAnswer({ item, card, config, ...events, members });
    },
    "/api/curves": async (url) => {
      const points = wholeOf(url, "points", 1, MOST_POINTS) ?? USUAL_POINTS;
      const from = wholeOf(url, "from", 0), to = wholeOf(url, "to", 0);
      return jsonAnswer((await named(textOf(url, "name"))).curves(points, from, to));
    },
    "/api/compare": async (url) => {
      const [a, b] = [await named(textOf(url, "a")), await named(textOf(url, "b"))];
      return jsonAnswer({ differs: between(a.config, b.config) });
    },
    "/api/stream": async (url, visit) => {
      const names = [...new Set(url.searchParams.getAll("name"))];
      if (names.length === 0 || names.length > MOST_LIVE) {
        throw new HttpError(400, `name: expected 1 to ${MOST_LIVE} runs, found ${names.length}`);
      }
      for (const name of names) await named(name);
      return visit.stream((sender) => streamRuns(runs, names, sender));
    },
  };
  return async (url, visit) => {
    const route = Object.hasOwn(routes, url.pathname) ? routes[url.pathname] : undefined;
    const found = route ? await route(url, visit) : await pageFile(url.pathname);
    if (!found) throw new HttpError(404, "there is no such page");
    return found;
  };
}

function textOf(url: URL, name: string): string {
  const text = url.searchParams.get(name);
  if (text === null) throw new HttpError(400, `${name} is missing`);
  return text;
}

/** A whole number within bounds; undefined where it was not given. */
function wholeOf(url: URL, name: string, low: number, high = Number.MAX_SAFE_INTEGER): number | undefined {
  const text = url.searchParams.get(name);
  if (text === null) return undefined;
  const value = /^\d{1,16}$/.test(text) ? Number(text) : NaN;
  if (value >= low && value <= high) return value;
  throw new HttpError(
    400,
    `${name}: expected a whole number from ${low} to ${high}, found ${JSON.stringify(text)}`,
  );
}

/**
 * `deno task dashboard [FOLDER]`: serves a page that shows the runs in a folder, until a signal ends it.
 *
 * @module
 */

import { parseDashboard } from "../src/cli/watch_command_line.ts";
import { openDashboard } from "../src/dashboard/server.ts";
import { ConfigError, RunError } from "../src/errors.ts";
import type { HttpServer } from "../src/http/server.ts";
import { say, stdout } from "./output.ts";
import { printHelp, runTool } from "./tool.ts";

/** Where a browser finds it again after a restart. */
const USUAL_PORT = 8600;

await runTool(async ({ signal }) => {
  const order = parseDashboard(Deno.args);
  if (order.action === "help") return await printHelp(order);
  const { folder, hostname, port } = order;
  requireFolder(folder);
  await using server = port === undefined ? openSomewhere(folder, hostname) : open(folder, hostname, port);
  await stdout.print(`${server.url}\n`);
  say(`serves the runs in ${folder}, until Ctrl-C`);
  if (!signal.aborted) await new Promise((resolve) => signal.addEventListener("abort", resolve));
});

/** At the usual port, or where that is taken at a free one. */
function openSomewhere(folder: string, hostname: string): HttpServer {
  try {
    return open(folder, hostname, USUAL_PORT);
  } catch (error) {
    if (!(error instanceof RunError)) throw error;
    return open(folder, hostname, 0);
  }
}

function open(folder: string, hostname: string, port: number): HttpServer {
  return openDashboard(folder, { hostname, port });
}

function requireFolder(folder: string): void {
  try {
    if (Deno.statSync(folder).isDirectory) return;
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  throw new ConfigError([`${folder}: there is no such folder; name one that holds runs`]);
}

/**
 * `deno task coordinator`: waits for workers that join from this or other machines, and averages for them.
 *
 * @module
 */

import { type CoordinatorOrder, parseCoordinator } from "../src/command_line.ts";
import { type Config, loadConfig, resolveConfig } from "../src/config.ts";
import { startNatsServer } from "../src/dist/server.ts";
import { startCoordinator } from "../src/participants.ts";
import { showRun } from "./progress.ts";
import { runTool } from "./tool.ts";

await runTool(async ({ signal }) => {
  const order = parseCoordinator(Deno.args);
  if (order.action === "help") return console.log(order.text);
  const config = resolveConfig(order.configPath && await loadConfig(order.configPath), order.overrides);
  const onEvent = showRun(config.train.steps, order.json);
  const onProgress = (text: string) => onEvent({ kind: "status", text });
  await using server = order.nats === undefined
    ? await startNatsServer({ listen: order.listen, signal, onProgress })
    : undefined;
  const url = server?.url ?? order.nats!;
  const onListening = () => sayHowToJoin(order, config, url);
  await startCoordinator(config, { url, signal, onEvent, onListening });
});

/** Prints the command that joins workers; a server that listens everywhere is reached by this machine's name. */
function sayHowToJoin(
  { json }: CoordinatorOrder & { action: "coordinate" },
  { machine }: Config,
  url: string,
): void {
  const reachable = url.replace(/(?<=[@/])(0\.0\.0\.0|\[::\])(?=:\d+$)/, Deno.hostname());
  const join = `deno task train --join ${reachable} --run ${machine.run}`;
  console.log(
    json ? JSON.stringify({ join, url: reachable, run: machine.run }) : `workers join with: ${join}`,
  );
}

/**
 * `deno task coordinator`: waits for workers that join from this or other machines, and reduces their gradients; or reduces
 * a share of them for a coordinator elsewhere.
 *
 * @module
 */

import { type CoordinatorOrder, parseCoordinator } from "../src/cli/command_line.ts";
import { type Config, loadConfig, loadRunConfig, resolveConfig } from "../src/config/config.ts";
import { RunError } from "../src/errors.ts";
import { launchReducers } from "../src/run/processes/launch.ts";
import { startCoordinator } from "../src/run/participants/coordinator.ts";
import { startReducer } from "../src/run/participants/reducer.ts";
import { RunFolder } from "../src/run/folder/run_folder.ts";
import { say, stdout } from "./output.ts";
import { COORDINATES, LEAVES, showRun } from "./progress.ts";
import { openRunPage } from "./run_page.ts";
import { printHelp, runTool, type Tools } from "./tool.ts";
import { keepNatsServer, type NatsServer } from "../src/dist/mod.ts";

type Coordinate = CoordinatorOrder & { action: "coordinate" };

await runTool(async (tools) => {
  const order = parseCoordinator(Deno.args);
  if (order.action === "help") return await printHelp(order);
  if (order.action === "reduce") return await reduce(order, tools);
  const { signal, hurry } = tools;
  const config = await configOf(order);
  const { train: { steps }, machine: { out } } = config;
  const page = openRunPage(order, out);
  const shown = { steps, folder: out, page, json: order.json, ending: COORDINATES };
  const onEvent = showRun({ ...shown, task: "coordinator" }, tools);
  const onStatus = (text: string) => onEvent({ kind: "status", text });
  const folder = RunFolder.at(out);
  await using server = order.nats === undefined
    ? await ownServer(order, folder, signal, onStatus)
    : undefined;
  const url = server?.url ?? order.nats!;
  await using resources = new AsyncDisposableStack();
  const onListening = () => {
    resources.use(launchReducers(config.machine, url, onEvent));
    if (server) folder.writeServer({ listen: server.address, token: new URL(url).password });
    sayHowToJoin(order, config, url);
  };
  const { fromStep } = order;
  const failover = order.resume !== undefined && fromStep === undefined;
  await Promise.race([
    startCoordinator(config, {
      url,
      eventsUrl: server?.eventsUrl,
      failover,
      fromStep,
      signal,
      hurry,
      onEvent,
      onListening,
    }),
    server?.exited.then((reason) => {
      throw new RunError(`the NATS server can't be kept running: ${reason}`);
    }) ?? new Promise<never>(() => {}),
  ]);
});

async function reduce(
  { url, overrides }: CoordinatorOrder & { action: "reduce" },
  tools: Tools,
): Promise<void> {
  const { machine: { run, name: machine } } = resolveConfig({}, overrides);
  const { signal } = tools;
  signal.addEventListener("abort", () => say(LEAVES));
  await startReducer({ url, run, machine, signal, onStatus: (text) => stdout.show(text + "\n") });
}

async function configOf({ resume, configPath, overrides }: Coordinate): Promise<Config> {
  if (resume === undefined) return resolveConfig(configPath && await loadConfig(configPath, say), overrides);
  return resolveConfig(await loadRunConfig(`${resume}/config.yaml`, say), {
    ...overrides,
    "machine.out": resume,
  });
}

/** A server for the run. Where the run had one, it is at the same place with the same password, so that workers find it. */
async function ownServer(
  { resume, listen }: Coordinate,
  folder: RunFolder,
  signal: AbortSignal,
  onStatus: (text: string) => void,
): Promise<NatsServer> {
  const before = resume === undefined ? undefined : folder.readServer();
  const options = { listen: listen ?? before?.listen, password: before?.token, signal, onProgress: onStatus };
  try {
    return await keepNatsServer(options, () => onStatus("the NATS server has ended and is restarted"));
  } catch (error) {
    if (!before || !(error instanceof RunError)) throw error;
    throw new RunError(
      `${error.message}\nPerhaps the coordinator of the run is still running: end it first.`,
    );
  }
}

/** Prints the command that joins workers; a server that listens everywhere is reached by this machine's name. */
function sayHowToJoin(
  { json }: Coordinate,
  { machine }: Config,
  url: string,
): void {
  const reachable = url.replace(/(?<=[@/])(0\.0\.0\.0|\[::\])(?=:\d+$)/, Deno.hostname());
  const join = `deno task train --join ${reachable} --run ${machine.run}`;
  const line = json
    ? JSON.stringify({ join, url: reachable, run: machine.run })
    : `workers join with: ${join}`;
  stdout.show(line + "\n");
}

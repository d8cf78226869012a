/**
 * `deno task train`: trains on this machine, resumes a run, or runs workers for a coordinator elsewhere.
 *
 * @module
 */

import { parseTrain, type TrainOrder } from "../src/cli/command_line.ts";
import { loadConfig, loadRunConfig, resolveConfig } from "../src/config/config.ts";
import { launchWorkers } from "../src/run/processes/launch.ts";
import { train } from "../src/run/train.ts";
import { JoinedRun } from "./joined.ts";
import { say, stdout } from "./output.ts";
import { LEAVES, SAVES, showRun, statusTeller, watchOutput } from "./progress.ts";
import { openRunPage } from "./run_page.ts";
import { printHelp, runTool, type Tools } from "./tool.ts";

await runTool(async (tools) => {
  const order = parseTrain(Deno.args);
  if (order.action === "help") return await printHelp(order);
  if (order.action === "join") return await join(order, tools);
  const resume = order.action === "resume";
  const given = resume
    ? await loadRunConfig(`${order.folder}/config.yaml`, say)
    : order.configPath && await loadConfig(order.configPath, say);
  const overrides = resume ? { ...order.overrides, "machine.out": order.folder } : order.overrides;
  const config = resolveConfig(given, overrides);
  const { train: { steps }, machine: { out: folder } } = config;
  const page = openRunPage(order, folder);
  const onEvent = showRun({ steps, folder, page, task: "train", json: order.json, ending: SAVES }, tools);
  const fromStep = resume ? order.fromStep : undefined;
  await train(config, { resume, fromStep, signal: tools.signal, onEvent });
});

async function join({ url, overrides, json }: TrainOrder & { action: "join" }, tools: Tools): Promise<void> {
  const { machine, data } = resolveConfig({}, overrides);
  const source = "data.source" in overrides ? data.source : undefined;
  const folder = "machine.out" in overrides ? machine.out : undefined;
  const { signal, hurry } = tools;
  const status = statusTeller(json);
  const shown = new JoinedRun(stdout, json ? "json" : Deno.stdout.isTerminal() ? "redrawn" : "plain");
  watchOutput(json, tools);
  signal.addEventListener("abort", () => status(LEAVES));
  const outcome = await launchWorkers(machine, { url, source, folder }, {
    ...{ signal, hurry, onStep: shown.step },
    onEvent: (event) => event.kind === "status" && status(event.text),
  });
  if (outcome) shown.ended(outcome);
}

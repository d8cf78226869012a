/**
 * `deno task runs [FOLDER]`: a table of the runs in a folder; `deno task runs compare A B`: what two differ in.
 *
 * @module
 */

import { parseRuns } from "../src/cli/watch_command_line.ts";
import { runIn, Runs } from "../src/watch/runs.ts";
import { comparison, runsTable } from "../src/watch/table.ts";
import type { RunItem } from "../src/watch/watched_run.ts";
import { stdout } from "./output.ts";
import { columns } from "./progress.ts";
import { printHelp, runTool } from "./tool.ts";

await runTool(async () => {
  const order = parseRuns(Deno.args);
  if (order.action === "help") return await printHelp(order);
  const lines = order.action === "compare"
    ? comparison(await runIn(order.a), await runIn(order.b), columns())
    : await listed(order.folder, order.sort);
  await stdout.print(lines.join("\n") + "\n");
});

async function listed(folder: string, sort: "started" | "loss"): Promise<string[]> {
  const items = await new Runs(folder).list();
  if (items.length === 0) return [`${folder} holds no runs`];
  const best = ({ best }: RunItem) => best?.valLoss ?? Infinity;
  if (sort === "loss") items.sort((a, b) => best(a) - best(b));
  return runsTable(items, columns());
}

/**
 * `deno task export-run`: the metrics of a run for other programs.
 *
 * @module
 */

import { parseExport } from "../src/cli/export_command_line.ts";
import { exportCsv, metricsCsv } from "../src/watch/csv.ts";
import { stdout } from "./output.ts";
import { printHelp, runTool } from "./tool.ts";

await runTool(async () => {
  const order = parseExport(Deno.args);
  if (order.action === "help") return await printHelp(order);
  const { folder, out } = order;
  if (out === undefined) await stdout.print(await metricsCsv(folder));
  else await exportCsv(folder, out);
});

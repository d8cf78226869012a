/**
 * `deno task profile RUN`: where the time of a run's steps went.
 *
 * @module
 */

import { parseProfile } from "../src/cli/watch_command_line.ts";
import { profileOf } from "../src/watch/profile.ts";
import { runIn } from "../src/watch/runs.ts";
import { stdout } from "./output.ts";
import { printHelp, runTool } from "./tool.ts";

await runTool(async () => {
  const order = parseProfile(Deno.args);
  if (order.action === "help") return await printHelp(order);
  const { steps, usage } = await runIn(order.folder);
  await stdout.print(profileOf(steps, usage).join("\n") + "\n");
});

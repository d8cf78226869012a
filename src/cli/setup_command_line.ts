/**
 * What the arguments of `deno task setup` mean.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";
import { type Command, HELP_FLAG, readArguments } from "./arguments.ts";
import { type HelpOrder, helpText } from "./help.ts";

/** What `deno task setup` was told to do: fetch what the device needs, the machine's own where it is undefined. */
export type SetupOrder = HelpOrder | { action: "setup"; device?: "cpu" | "gpu" };

const SETUP: Command = {
  usage: [
    "deno task setup [--gpu | --cpu]   fetch TensorFlow, nats-server and the default corpus into the cache",
  ],
  positional: [],
  short: {},
  flags: [
    { name: "gpu", text: "TensorFlow with its CUDA libraries. Default: where nvidia-smi answers." },
    { name: "cpu", text: "TensorFlow without them." },
    HELP_FLAG,
  ],
};

/**
 * What `deno task setup` is to do.
 *
 * @throws {ConfigError} with all that is wrong with the arguments
 */
export function parseSetup(args: string[]): SetupOrder {
  const { switches: { help, gpu, cpu } } = readArguments(args, SETUP);
  if (help) return { action: "help", text: helpText(SETUP) };
  if (gpu && cpu) throw new ConfigError(["--gpu with --cpu: give one of them"]);
  return { action: "setup", device: gpu ? "gpu" : cpu ? "cpu" : undefined };
}

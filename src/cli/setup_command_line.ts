/**
 * The command line of `deno task setup`.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";
import { type Command, HELP_FLAG, readArguments } from "./arguments.ts";
import { type HelpOrder, helpOrder } from "./help.ts";

/** An order to `deno task setup`: download what the device needs, this machine's by default. */
export type SetupOrder = HelpOrder | { action: "setup"; device?: "cpu" | "gpu" };

const SETUP: Command = {
  usage: [
    [
      "deno task setup [--gpu | --cpu]",
      "fetch TensorFlow, nats-server and the default corpus into the cache",
    ],
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
 * Parses the arguments of `deno task setup`.
 *
 * @throws {ConfigError} with all problems
 */
export function parseSetup(args: string[]): SetupOrder {
  const { switches: { help, gpu, cpu } } = readArguments(args, SETUP);
  if (help) return helpOrder(args, SETUP);
  if (gpu && cpu) throw new ConfigError(["--gpu with --cpu: give one of them"]);
  return { action: "setup", device: gpu ? "gpu" : cpu ? "cpu" : undefined };
}

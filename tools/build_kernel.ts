/**
 * `deno task build:kernel`: assembles the kernel of vector arithmetic, whose bytes are checked in beside its text.
 *
 * @module
 */

import wabt from "wabt";
import { type Command, HELP_FLAG, readArguments } from "../src/cli/arguments.ts";
import { helpOrder } from "../src/cli/help.ts";
import { printHelp, runTool } from "./tool.ts";

const folder = new URL("../src/dist/vectors/", import.meta.url);

/** Where the assembled kernel is. */
export const KERNEL = new URL("kernel.wasm", folder);

/** The kernel's bytes, from its text. */
export async function assembleKernel(): Promise<Uint8Array> {
  const { parseWat } = await wabt();
  const module = parseWat("kernel.wat", await Deno.readTextFile(new URL("kernel.wat", folder)), {
    simd: true,
  });
  try {
    module.validate();
    return module.toBinary({}).buffer;
  } finally {
    module.destroy();
  }
}

const BUILD: Command = {
  usage: [["deno task build:kernel", "assemble src/dist/vectors/kernel.wat to kernel.wasm"]],
  positional: [],
  short: {},
  flags: [HELP_FLAG],
};

if (import.meta.main) {
  await runTool(async () => {
    if (readArguments(Deno.args, BUILD).switches.help) return await printHelp(helpOrder(Deno.args, BUILD));
    await Deno.writeFile(KERNEL, await assembleKernel());
  });
}

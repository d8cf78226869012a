/**
 * `deno task build:kernel`: assembles the kernel of vector arithmetic, whose bytes are checked in beside its text.
 *
 * @module
 */

import wabt from "wabt";

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

if (import.meta.main) await Deno.writeFile(KERNEL, await assembleKernel());

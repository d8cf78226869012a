/**
 * The processor's properties that the bits of a computation depend on.
 *
 * @module
 */

/** Extensions of x86-64 that compiled code can differ in, as `/proc/cpuinfo` names them. */
const EXTENSIONS = [
  "sse4_2",
  "avx",
  "avx2",
  "fma",
  "avx512f",
  "avx512_vnni",
  "avx512_bf16",
  "avx512_fp16",
  "amx_tile",
];

/** The instruction sets that TensorFlow can use: "sse4_2 avx avx2 fma", or the architecture where that is not known. */
export function instructionSet(): string {
  const flags = new Set(processorFlags().split(" "));
  return EXTENSIONS.filter((extension) => flags.has(extension)).join(" ") || Deno.build.arch;
}

/** All flags of the processor: compiled code is for exactly these. */
export function processorFlags(): string {
  return cpuInfo("flags") ?? Deno.build.arch;
}

/** The processor's name, for display. */
export function processorName(): string {
  return cpuInfo("model name") ?? Deno.build.arch;
}

/** A line of Linux's description of the first processor. Deno reads files in /proc only with all permissions, `cat` does. */
function cpuInfo(name: string): string | undefined {
  try {
    const { stdout } = new Deno.Command("cat", { args: ["/proc/cpuinfo"], stderr: "null" }).outputSync();
    const lines = new TextDecoder().decode(stdout).split("\n");
    return lines.find((line) => line.startsWith(name))?.replace(/^[^:]*: */, "");
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

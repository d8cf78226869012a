import assert from "node:assert/strict";
import { assembleKernel, KERNEL } from "../../tools/build_kernel.ts";

Deno.test("the kernel's checked-in bytes are what its text is assembled to: deno task build:kernel", async () => {
  assert.deepEqual(await assembleKernel(), await Deno.readFile(KERNEL));
});

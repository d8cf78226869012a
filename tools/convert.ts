/**
 * `deno task convert`: weights from and to FLASH-pytorch.
 *
 * @module
 */

import { exportStateDict, importStateDict } from "../src/trained/convert.ts";
import { parseConvert } from "../src/cli/model_command_line.ts";
import { say, stdout } from "./output.ts";
import { printHelp, runTool } from "./tool.ts";

await runTool(async () => {
  const order = parseConvert(Deno.args);
  if (order.action === "help") return await printHelp(order);
  const { source, out } = order;
  if (order.action === "import") {
    await importStateDict(source, out, order.given);
    await stdout.print(`${out}: deno task generate ${out}, or deno task train --resume ${out}\n`);
  } else {
    const options = await exportStateDict(source, out, say);
    await stdout.print(`${out}: FLASHTransformer(${pythonArguments(options)})\n`);
  }
});

/** Our options as FLASH-pytorch's arguments. */
function pythonArguments(options: object): string {
  return Object.entries(options).map(([name, value]) => {
    const snake = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    const python = typeof value === "boolean" ? (value ? "True" : "False") : JSON.stringify(value);
    return `${snake} = ${python}`;
  }).join(", ");
}

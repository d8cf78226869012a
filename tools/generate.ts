/**
 * `deno task generate`: text from a trained model, as it comes.
 *
 * @module
 */

import { linesOf } from "../src/run/children.ts";
import { parseGenerate } from "../src/cli/model_command_line.ts";
import { initBackend } from "../src/tensorflow/mod.ts";
import { generateText } from "../src/trained/text.ts";
import { openModel } from "../src/trained/model.ts";
import { say, stderr, stdout } from "./output.ts";
import { runTool } from "./tool.ts";

/** Stands between the samples of a prompt. */
const SEPARATOR = "\n---\n";

await runTool(async ({ signal }) => {
  const order = parseGenerate(Deno.args);
  if (order.action === "help") return await stdout.print(order.text + "\n");
  await initBackend({ threads: navigator.hardwareConcurrency, signal, onProgress: say });
  const { model } = await openModel(order.checkpoint, say);
  for await (const prompt of order.prompt === undefined ? promptsFromInput(signal) : [order.prompt]) {
    const texts = generateText(model, prompt, order.samples, order.options);
    await show(prompt, texts, order.samples, signal);
    if (signal.aborted) return;
  }
});

/** The lines of standard input; where there is none, one empty prompt. */
async function* promptsFromInput(signal: AbortSignal): AsyncGenerator<string> {
  const ask = () => Deno.stdin.isTerminal() && stderr.show("> ");
  let isEmpty = true;
  ask();
  for await (const line of linesOf(Deno.stdin.readable.pipeThrough(new TransformStream(), { signal }))) {
    isEmpty = false;
    yield line;
    ask();
  }
  if (isEmpty) yield "";
}

/** Shows a prompt and what follows it, as fast as it is read: the first sample as it comes, the others after it. */
async function show(
  prompt: string,
  texts: AsyncIterable<string[]>,
  samples: number,
  signal: AbortSignal,
): Promise<void> {
  const others = Array.from({ length: samples - 1 }, () => prompt);
  const stopped = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
  const print = (text: string) => Promise.race([stdout.print(text), stopped]);
  await print(prompt);
  for await (const [first, ...rest] of texts) {
    if (signal.aborted) break;
    await print(first);
    rest.forEach((added, i) => others[i] += added);
  }
  await print(others.map((text) => SEPARATOR + text).join("") + "\n");
}

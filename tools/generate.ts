/**
 * `deno task generate`: text from a trained model, as it comes.
 *
 * @module
 */

import { parseGenerate } from "../src/cli/model_command_line.ts";
import { initBackend } from "../src/tensorflow/mod.ts";
import { byteLines, generateText } from "../src/trained/text.ts";
import { openModel } from "../src/trained/model.ts";
import { say, stderr, stdout } from "./output.ts";
import { printHelp, runTool } from "./tool.ts";

const encode = (text: string) => new TextEncoder().encode(text);

/** Stands between the samples of a prompt. */
const SEPARATOR = encode("\n---\n");

await runTool(async ({ signal }) => {
  const order = parseGenerate(Deno.args);
  if (order.action === "help") return await printHelp(order);
  await initBackend({ threads: navigator.hardwareConcurrency, signal, onProgress: say });
  const { model } = await openModel(order.checkpoint, say);
  const prompts = order.prompt === undefined ? promptsFromInput(signal) : [encode(order.prompt)];
  for await (const prompt of prompts) {
    const texts = generateText(model, prompt, order.samples, order.options);
    await show(prompt, texts, order.samples, signal);
    if (signal.aborted) return;
  }
});

/** The lines of standard input; where there is none, one empty prompt. */
async function* promptsFromInput(signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const ask = () => Deno.stdin.isTerminal() && stderr.show("> ");
  let isEmpty = true;
  ask();
  for await (const line of byteLines(Deno.stdin.readable.pipeThrough(new TransformStream(), { signal }))) {
    isEmpty = false;
    yield line;
    ask();
  }
  if (isEmpty) yield new Uint8Array();
}

/** Shows a prompt and what follows it, as fast as it is read: the first sample as it comes, the others after it. */
async function show(
  prompt: Uint8Array,
  texts: AsyncIterable<Uint8Array[]>,
  samples: number,
  signal: AbortSignal,
): Promise<void> {
  const others = Array.from({ length: samples - 1 }, () => [SEPARATOR, prompt]);
  const stopped = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
  const print = (bytes: Uint8Array) => Promise.race([stdout.print(bytes), stopped]);
  await print(prompt);
  for await (const [first, ...rest] of texts) {
    if (signal.aborted) break;
    await print(first);
    rest.forEach((added, i) => others[i].push(added));
  }
  for (const bytes of [...others.flat(), encode("\n")]) await print(bytes);
}

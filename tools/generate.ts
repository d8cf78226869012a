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
import { runTool } from "./tool.ts";

/** Stands between the samples of a prompt. */
const SEPARATOR = "\n---\n";

await runTool(async ({ signal }) => {
  const order = parseGenerate(Deno.args);
  if (order.action === "help") return console.log(order.text);
  const onStatus = (text: string) => console.error(text);
  await initBackend({ threads: navigator.hardwareConcurrency, signal, onProgress: onStatus });
  const { model } = await openModel(order.checkpoint, onStatus);
  try {
    for await (const prompt of order.prompt === undefined ? promptsFromInput() : [order.prompt]) {
      const texts = generateText(model, prompt, order.samples, order.options);
      await show(prompt, texts, order.samples, signal);
      if (signal.aborted) return;
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.BrokenPipe)) throw error; // the reader of the output has enough
  }
});

/** The lines of standard input; where there is none, one empty prompt. */
async function* promptsFromInput(): AsyncGenerator<string> {
  const ask = () => Deno.stdin.isTerminal() && Deno.stderr.writeSync(new TextEncoder().encode("> "));
  let isEmpty = true;
  ask();
  for await (const line of linesOf(Deno.stdin.readable)) {
    isEmpty = false;
    yield line;
    ask();
  }
  if (isEmpty) yield "";
}

/** Shows a prompt and what follows it: the first sample as it comes, the others after it. */
async function show(
  prompt: string,
  texts: AsyncIterable<string[]>,
  samples: number,
  signal: AbortSignal,
): Promise<void> {
  const others = Array.from({ length: samples - 1 }, () => prompt);
  print(prompt);
  for await (const [first, ...rest] of texts) {
    if (signal.aborted) break;
    print(first);
    rest.forEach((added, i) => others[i] += added);
  }
  print(others.map((text) => SEPARATOR + text).join("") + "\n");
}

function print(text: string): void {
  const bytes = new TextEncoder().encode(text);
  for (let at = 0; at < bytes.length;) at += Deno.stdout.writeSync(bytes.subarray(at));
}

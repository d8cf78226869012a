/**
 * `deno task generate`: text from a trained model, as it comes.
 *
 * @module
 */

import { parseGenerate } from "../src/cli/model_command_line.ts";
import { initBackend } from "../src/tensorflow/mod.ts";
import { byteLines, generateText } from "../src/trained/text.ts";
import { openModel } from "../src/trained/model.ts";
import { runTool } from "./tool.ts";

const encode = (text: string) => new TextEncoder().encode(text);

/** Stands between the samples of a prompt. */
const SEPARATOR = encode("\n---\n");

await runTool(async ({ signal }) => {
  const order = parseGenerate(Deno.args);
  if (order.action === "help") return console.log(order.text);
  const onStatus = (text: string) => console.error(text);
  await initBackend({ threads: navigator.hardwareConcurrency, signal, onProgress: onStatus });
  const { model } = await openModel(order.checkpoint, onStatus);
  const prompts = order.prompt === undefined ? promptsFromInput() : [encode(order.prompt)];
  try {
    for await (const prompt of prompts) {
      const texts = generateText(model, prompt, order.samples, order.options);
      await show(prompt, texts, order.samples, signal);
      if (signal.aborted) return;
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.BrokenPipe)) throw error; // the reader of the output has enough
  }
});

/** The lines of standard input; where there is none, one empty prompt. */
async function* promptsFromInput(): AsyncGenerator<Uint8Array> {
  const ask = () => Deno.stdin.isTerminal() && Deno.stderr.writeSync(encode("> "));
  let isEmpty = true;
  ask();
  for await (const line of byteLines(Deno.stdin.readable)) {
    isEmpty = false;
    yield line;
    ask();
  }
  if (isEmpty) yield new Uint8Array();
}

/** Shows a prompt and what follows it: the first sample as it comes, the others after it. */
async function show(
  prompt: Uint8Array,
  texts: AsyncIterable<Uint8Array[]>,
  samples: number,
  signal: AbortSignal,
): Promise<void> {
  const others = Array.from({ length: samples - 1 }, () => [SEPARATOR, prompt]);
  print(prompt);
  for await (const [first, ...rest] of texts) {
    if (signal.aborted) break;
    print(first);
    rest.forEach((added, i) => others[i].push(added));
  }
  for (const bytes of others.flat()) print(bytes);
  print(encode("\n"));
}

function print(bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length;) at += Deno.stdout.writeSync(bytes.subarray(at));
}

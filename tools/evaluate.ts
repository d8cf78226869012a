/**
 * `deno task evaluate`: how well a trained model predicts a whole text.
 *
 * @module
 */

import { loadCorpus } from "../src/data/corpus.ts";
import { evaluate } from "../src/trained/evaluate.ts";
import { parseEvaluate } from "../src/cli/model_command_line.ts";
import { initBackend } from "../src/tensorflow/mod.ts";
import { openModel } from "../src/trained/model.ts";
import { stringifyJson } from "../src/json.ts";
import { SlowPace } from "../src/slow_work.ts";
import { say, stderr, stdout } from "./output.ts";
import { printHelp, runTool } from "./tool.ts";

await runTool(async ({ signal }) => {
  const order = parseEvaluate(Deno.args);
  if (order.action === "help") return await printHelp(order);
  await initBackend({ threads: navigator.hardwareConcurrency, signal, onProgress: say });
  const { model, trainedLength, trainedRaw: raw } = await openModel(order.checkpoint, say);
  const { train: text } = await loadCorpus(order.data, { validation: 0, raw }, {
    signal,
    onProgress: say,
    onSkipped: say,
  });
  const context = order.context ?? trainedLength;
  const found = await evaluate(model, text, { context, signal, onProgress: progress(text.length - 1) });
  if (order.json) return await stdout.print(stringifyJson(found) + "\n");
  const { loss, bitsPerByte, perplexity, tokens } = found;
  await stdout.print(
    `loss ${loss.toFixed(4)} nats, ${bitsPerByte.toFixed(4)} bits per byte, perplexity ${
      perplexity.toFixed(3)
    }, ` +
      `over ${tokens.toLocaleString("en")} bytes in windows of ${context}\n`,
  );
});

/** One redrawn line on a terminal, a line now and then elsewhere. */
function progress(all: number): (tokens: number) => void {
  const pace = new SlowPace();
  return (tokens) => {
    const share = `${Math.floor(100 * tokens / all)} %`;
    if (Deno.stderr.isTerminal()) stderr.show(tokens < all ? `\r${share}` : "\r\x1b[K");
    else if (tokens < all && pace.isDue()) say(`evaluates: ${share} of ${all.toLocaleString("en")} bytes`);
  };
}

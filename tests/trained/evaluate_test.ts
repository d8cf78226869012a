import assert from "node:assert/strict";
import { train } from "../../mod.ts";
import { evaluate, evaluationWindows } from "../../src/trained/evaluate.ts";
import { FLASHTransformer } from "../../src/model/mod.ts";
import { tf } from "../../src/tensorflow/mod.ts";
import { eachBackend, onBackend } from "../model/backends.ts";
import { randomIds, smallTransformer } from "../model/models.ts";
import { start } from "../run/support/commands.ts";
import { Workplace } from "../run/support/runs.ts";

Deno.test("windows count every token once, and after the first one with half a window before it", () => {
  for (const context of [2, 3, 8, 9, 256]) {
    for (const length of [2, 3, context, context + 1, context + 2, 5 * context + 3]) {
      const counts = new Array(length).fill(0);
      for (const { start, from } of evaluationWindows(length, context)) {
        assert.ok(start >= 0 && (start === 0 || from >= Math.floor(context / 2)));
        for (let i = from; i < context && start + i + 1 < length; i++) counts[start + i + 1]++;
      }
      assert.deepEqual(counts, [0, ...new Array(length - 1).fill(1)], `${length} in windows of ${context}`);
    }
  }
});

/** Nats of one token after others, from a pass of their own. */
function nats(model: FLASHTransformer, before: number[], token: number): number {
  return tf.tidy(() => {
    const logits = tf.squeeze(tf.slice(model.forward([before]), [0, before.length - 1, 0]));
    return -tf.logSoftmax(logits as tf.Tensor1D).dataSync()[token];
  });
}

eachBackend("the loss is the mean over tokens of what each window says", async () => {
  const model = smallTransformer();
  const [text] = randomIds(1, 50, 19);
  const found = await evaluate(model, Uint8Array.from(text), { context: 20 });
  let sum = 0;
  for (let at = 1; at < text.length; at++) {
    // windows of 20 that start every 10: the first that has this token as a label
    const start = at <= 20 ? 0 : 10 * Math.ceil((at - 20) / 10);
    sum += nats(model, text.slice(start, at), text[at]);
  }
  assert.equal(found.tokens, 49);
  // float32 sums in another order
  assert.ok(Math.abs(found.loss - sum / 49) < 1e-5 * found.loss);
  assert.equal(found.bitsPerByte, found.loss / Math.log(2));
  assert.equal(found.perplexity, Math.exp(found.loss));
});

onBackend("tensorflow", "a text shorter than the context is one window", async () => {
  const model = smallTransformer();
  const { tokens, loss } = await evaluate(model, Uint8Array.of(3, 5), { context: 4096 });
  assert.equal(tokens, 1);
  assert.ok(Math.abs(loss - nats(model, [3], 5)) < 1e-5 * loss); // as above
});

onBackend("tensorflow", "what can't be evaluated is refused", async () => {
  const model = smallTransformer();
  await assert.rejects(evaluate(model, Uint8Array.of(1), { context: 8 }), /1 bytes has nothing to predict/);
  await assert.rejects(evaluate(model, Uint8Array.of(1, 2), { context: 1 }), /context is 1/);
  const both = new FLASHTransformer({ numTokens: 5, dim: 8, depth: 1 });
  await assert.rejects(evaluate(both, Uint8Array.of(1, 2), { context: 8 }), /Only a causal model/);
});

Deno.test("deno task evaluate prints loss, bits per byte and perplexity of a whole text", async () => {
  await using place = await Workplace.open();
  await train(place.config("run", { train: { steps: 2 } }));
  const run = await start("evaluate", place.run("run"), "--data", place.text).ended;
  assert.equal(run.code, 0, run.stderr);
  const bytes = (await Deno.stat(place.text)).size;
  const over = `over ${(bytes - 1).toLocaleString("en")} bytes in windows of 24`;
  assert.match(run.stdout, new RegExp(`^loss \\d\\.\\d{4} nats, .* bits per byte, perplexity .*, ${over}`));
  const json = await start("evaluate", place.run("run"), "--data", place.text, "--json", "--context=50")
    .ended;
  assert.equal((JSON.parse(json.stdout) as { tokens: number }).tokens, bytes - 1);
  const wrong = await start("evaluate", place.run("run")).ended;
  assert.deepEqual([wrong.code, wrong.stderr.trim()], [2, "--data is missing"]);
});

import assert from "node:assert/strict";
import plugin, { forbiddenImport } from "../../tools/lint_plugin.ts";

Deno.test("the lint plugin keeps the folders apart", () => {
  assert.equal(
    forbiddenImport("/x/src/model/gau.ts", "../data/text.ts"),
    "src/model/ may import src/tensorflow/, and not src/data/",
  );
  assert.equal(
    forbiddenImport("/x/src/dist/vectors/tree.ts", "../replica/plan.ts"),
    "src/dist/vectors/ may import nothing, and not src/dist/replica/",
  );
  assert.equal(
    forbiddenImport("/x/src/dist/replica/plan.ts", "../protocol/frames.ts"),
    "src/dist/replica/ may import src/dist/vectors/, and not src/dist/protocol/",
  );
  assert.equal(forbiddenImport("/x/src/dist/protocol/frames.ts", "../replica/plan.ts"), undefined);
  assert.equal(forbiddenImport("/x/src/dist/worker.ts", "./worker/join.ts"), undefined);
  assert.equal(forbiddenImport("/x/src/model/gau.ts", "../errors.ts"), undefined);
});

Deno.test("the lint plugin lets src/dist/ be imported by its mod.ts alone", () => {
  assert.equal(
    forbiddenImport("/x/src/run/train.ts", "../dist/worker.ts"),
    "only src/dist/mod.ts may be imported of src/dist/",
  );
  assert.equal(forbiddenImport("/x/src/run/train.ts", "../dist/mod.ts"), undefined);
  assert.equal(
    forbiddenImport("/x/src/model/gau.ts", "../dist/mod.ts"),
    "src/model/ may import src/tensorflow/, and not src/dist/",
  );
});

Deno.test("the lint plugin gives each package to one place", () => {
  assert.equal(
    forbiddenImport("/x/src/dist/worker.ts", "nats"),
    "only src/dist/nats/ imports nats",
  );
  assert.equal(
    forbiddenImport("/x/src/dist/worker.ts", "nats/lib/mod.js"),
    "only src/dist/nats/ imports nats",
  );
  assert.equal(forbiddenImport("/x/src/dist/nats/transport.ts", "nats"), undefined);
  assert.equal(
    forbiddenImport("/x/src/model/gau.ts", "@tensorflow/tfjs"),
    "only src/tensorflow/ imports @tensorflow/",
  );
  assert.equal(
    forbiddenImport("/x/src/data/text.ts", "npm:zod@4"),
    "only src/config/ and src/dist/protocol/ and src/run/folder/ and src/checkpoint/files.ts imports zod",
  );
  assert.equal(forbiddenImport("/x/src/dist/protocol/message_values.ts", "zod"), undefined);
  assert.equal(forbiddenImport("/x/tests/dist/nats_test.ts", "nats"), undefined);
});

Deno.test("the lint plugin reports printing in src and nowhere else", () => {
  const messages = (file: string) =>
    Deno.lint.runPlugin(plugin, file, "console.log(1);").map((found) => found.message);
  assert.deepEqual(messages("src/run/train.ts"), ["nothing in src/ prints: take a callback"]);
  assert.deepEqual(messages("tools/train.ts"), []);
});

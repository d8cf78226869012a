/** The Python of docs/tracking.md reads runs' folders. @module */

import assert from "node:assert/strict";
import { parseJson } from "../../src/json.ts";
import { peerPython } from "../peer/python.ts";

const page = await Deno.readTextFile(new URL("../../docs/tracking.md", import.meta.url));
const script = /```python\n([^]*?)```/.exec(page)![1];
const peer = await peerPython("import json");

/** Prints what `read` gives; NaN has no word in JSON. */
const SHOW = `
config, steps, events = read(Path(sys.argv[1]))
steps = {step: {key: str(value) for key, value in numbers.items()} for step, numbers in steps.items()}
print(json.dumps([config, steps, events]))
`;

async function read(folder: string): Promise<[string, Record<string, Record<string, string>>, unknown[]]> {
  assert.ok("python" in peer);
  const library = script.replace('if __name__ == "__main__":', "if False:");
  const { success, stdout, stderr } = await new Deno.Command(peer.python, {
    args: ["-c", library + SHOW, folder],
  }).output();
  assert.ok(success, new TextDecoder().decode(stderr));
  return parseJson(new TextDecoder().decode(stdout));
}

Deno.test({
  name: `the bridge to Weights & Biases reads numbers by step, and events${
    "missing" in peer ? ` (left out: ${peer.missing})` : ""
  }`,
  ignore: "missing" in peer,
  fn: async () => {
    const folder = await Deno.makeTempDir({ prefix: "flashmob-test-" });
    await new Deno.Command("cp", { args: ["-r", "tests/fixtures/run-0.1/run/.", folder] }).output();
    const at = "2026-11-28T07:00:00.000Z";
    const lines = [
      { at, step: 5, loss: "NaN", gradNorm: "Infinity", applied: false, round: [5, 8] },
      { at, step: 5, valLoss: 5.25 },
    ].map((line) => JSON.stringify(line) + "\n").join("");
    await Deno.writeTextFile(`${folder}/metrics.jsonl`, lines + '{"step":6,"lo', { append: true });
    const sample = { at, event: "sample", step: 5, member: "a", prompt: "The ", text: "people" };
    await Deno.writeTextFile(`${folder}/events.jsonl`, JSON.stringify(sample) + "\n");

    const [config, steps, events] = await read(folder);
    assert.match(config, /^model:/m);
    assert.deepEqual(Object.keys(steps), ["1", "2", "3", "4", "5"]);
    assert.equal(Number(steps[1].loss), 5.722817420959473);
    assert.deepEqual(steps[5], {
      step: "5.0",
      loss: "nan",
      gradNorm: "inf",
      applied: "0.0",
      valLoss: "5.25",
    });
    assert.deepEqual(events, [sample]);
    await Deno.remove(folder, { recursive: true });
  },
});

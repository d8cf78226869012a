import assert from "node:assert/strict";
import { parseJson, stringifyJson } from "../../src/json.ts";
import { clock } from "../../src/watch/words.ts";
import { eventLine, stepLine } from "../../tools/progress.ts";

const step = {
  at: "2026-11-28T07:00:00.000Z",
  step: 7,
  loss: 2.5,
  tokens: 2048,
  tokensPerSecond: 10_000,
  gradNorm: 0.5,
  lr: 1e-3,
  applied: true,
  workers: 4,
  generation: 1,
  bytesSent: 0,
  bytesReceived: 0,
  elapsed: 1,
};

/** What came from another process. */
const overJson = <T>(value: T): T => parseJson(stringifyJson(value));

Deno.test("a step is one line: progress, loss, speed, workers, time left", () => {
  assert.equal(
    stepLine(step, 100, 0.5),
    "step   7/100  loss 2.5000  norm 0.500  10,000 tokens/s  4 workers  0:47 left",
  );
  assert.equal(clock(3725), "1:02:05");
});

Deno.test("a step is cut to the width of the terminal, what matters least first", () => {
  const line = (width: number) => stepLine(step, 100, 0.5, width);
  assert.equal(line(79), stepLine(step, 100, 0.5));
  assert.equal(line(72), "step   7/100  loss 2.5000  10,000 tokens/s  4 workers  0:47 left");
  assert.equal(line(60), "step   7/100  loss 2.5000  10,000 tokens/s  0:47 left");
  assert.equal(line(39), "step   7/100  loss 2.5000  0:47 left");
  assert.equal(line(27), "step   7/100  loss 2.5000");
  for (const width of [20, 1, 0]) assert.equal(line(width), "step   7/100  loss 2.5000".slice(0, width));
});

Deno.test("a skipped step without a norm, and a run without a step, have a line, too", () => {
  const skipped = overJson({ ...step, applied: false, gradNorm: NaN, loss: NaN });
  assert.match(stepLine(skipped, 100, 0.5), /^step {3}7\/100 {2}skipped {2}10,000/);
  const summary = overJson({
    ...{ steps: 0, loss: NaN, valLoss: null, tokens: 0, bytesSent: 0, bytesReceived: 0, stateBytes: 0 },
    ...{ paramsHash: "", dropped: {}, interrupted: true, seconds: 0 },
  });
  assert.equal(eventLine({ kind: "finished", summary }), "stopped after step 0: 0:00");
});

Deno.test("losses that are no numbers are shown as they are, from this process or another", () => {
  for (const valLoss of [NaN, Infinity]) {
    const metrics = overJson({ at: step.at, step: 7, valLoss });
    const words = `validation loss ${valLoss}`;
    assert.equal(eventLine({ kind: "evaluated", metrics }), `step 7: ${words} nats per token`);
    const summary = overJson({
      ...{ steps: 7, loss: NaN, valLoss, tokens: 0, bytesSent: 0, bytesReceived: 0, stateBytes: 0 },
      ...{ paramsHash: "f00", dropped: {}, interrupted: false, seconds: 9 },
    });
    const expected = `done after step 7: loss NaN, ${words}, 0:09`;
    assert.equal(eventLine({ kind: "finished", summary }), expected);
  }
});

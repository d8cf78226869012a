import assert from "node:assert/strict";
import { clock, showRun, stepLine } from "../../tools/progress.ts";

const step = {
  step: 7,
  loss: 2.5,
  tokens: 2048,
  tokensPerSecond: 10_000,
  gradNorm: 0.5,
  lr: 1e-3,
  applied: true,
  workers: 4,
  generation: 1,
  computed: {},
  samples: [],
  bytesSent: 0,
  bytesReceived: 0,
  elapsed: 1,
};

/** What came from another process as JSON: NaN is null there. */
const overJson = <T>(value: T): T => JSON.parse(JSON.stringify(value));

Deno.test("a step is one line: progress, loss, speed, workers, time left", () => {
  assert.equal(
    stepLine(step, 100, 0.5),
    "step   7/100  loss 2.5000  norm 0.500  10,000 tokens/s  4 workers  0:47 left",
  );
  assert.equal(clock(3725), "1:02:05");
});

Deno.test("a skipped step without a norm, and a run without a step, have a line, too", () => {
  const skipped = overJson({ ...step, applied: false, gradNorm: NaN, loss: NaN });
  assert.match(stepLine(skipped, 100, 0.5), /^step {3}7\/100 {2}skipped {2}10,000/);
  const summary = overJson({
    ...{ steps: 0, loss: NaN, valLoss: null, tokens: 0, bytesSent: 0, bytesReceived: 0, stateBytes: 0 },
    ...{ paramsHash: "", dropped: {}, interrupted: true, seconds: 0 },
  });
  showRun(10, false)({ kind: "finished", summary });
});

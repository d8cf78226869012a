import assert from "node:assert/strict";
import { MachineShare } from "../../src/run/processes/machine_share.ts";
import { joinedLine, JoinedRun, outcomeLine } from "../../tools/joined.ts";

const STEP = { step: 20, steps: 500, loss: 2.5, applied: true, tokens: 2048, microBatches: 8, share: 2 };

Deno.test("a joined worker's step is one line: progress, loss, its share and speed, time left", () => {
  assert.equal(
    joinedLine(STEP, 0.5),
    "step  20/500  loss 2.5000  2 of 8 micro-batches  1,024 tokens/s  4:00 left",
  );
  assert.equal(
    joinedLine({ ...STEP, applied: false }, undefined),
    "step  20/500  skipped  2 of 8 micro-batches",
  );
  assert.match(joinedLine({ ...STEP, share: 0 }, 1), /none of 8 micro-batches: it stands by/);
});

Deno.test("in a pipe a joined worker shows a step every ten seconds, measured by the run's steps", () => {
  let now = 0, shown = "";
  const out = { show: (text: string) => shown += text, isIdle: true };
  const run = new JoinedRun(out, "plain", () => now);
  for (let step = 1; step <= 24; step++, now += 1000) {
    for (const share of [1, 3]) run.step({ ...STEP, step, share }); // as its two workers come
  }
  run.ended({ outcome: "done", step: 24, steps: 24 });
  assert.deepEqual(shown.trimEnd().split("\n"), [
    "step   1/500  loss 2.5000  1 of 8 micro-batches",
    "step  11/500  loss 2.5000  1 of 8 micro-batches  256 tokens/s  8:09 left",
    "step  21/500  loss 2.5000  1 of 8 micro-batches  256 tokens/s  7:59 left",
    "the run is done: step 24 was its last",
  ]);
});

Deno.test("how the run of a joined worker ended is told", () => {
  assert.equal(
    outcomeLine({ outcome: "stopped", step: 7, steps: 9 }),
    "the run was stopped after step 7 of 9",
  );
  assert.match(
    outcomeLine({ outcome: "left", step: 7, steps: 9 }),
    /^left the run after step 7 of 9; it continues/,
  );
});

Deno.test("the shares of a machine's workers add up, without those that are members no more", () => {
  const machine = new MachineShare();
  const share = (member: string, step: number, share: number) =>
    machine.add(member, { ...STEP, step, share }).share;
  assert.deepEqual([share("a", 1, 2), share("b", 1, 3)], [2, 5]);
  assert.deepEqual([share("a", 2, 1), share("a", 3, 1)], [4, 1], "b is two steps behind");
  assert.equal(share("b", 3, 4), 5);
});

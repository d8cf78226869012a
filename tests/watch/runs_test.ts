/** The runs of a folder, and what each one's folder says. @module */

import assert from "node:assert/strict";
import { FolderLock } from "../../src/run/folder/lock.ts";
import { findRun, findRuns } from "../../src/watch/listing.ts";
import { runIn, Runs } from "../../src/watch/runs.ts";
import { membersLine, OLD_RUN, RunsFolder, stepLine, timeAt } from "./support/folders.ts";

const namesIn = (folder: string) => findRuns(folder).map(({ name }) => name).sort();

Deno.test("runs are found two levels down, without links, and a run's folder is the run", async () => {
  await using folder = await RunsFolder.open();
  await using elsewhere = await RunsFolder.open();
  const outside = await elsewhere.add("outside");
  for (const name of ["a", "sweep/b", "sweep/c", "too/deep/d", ".hidden", "a/checkpoints"]) {
    await folder.add(name);
  }
  await Deno.symlink(outside.path, `${folder.path}/link`);
  await Deno.mkdir(`${folder.path}/fake`);
  await Deno.symlink(`${outside.path}/config.yaml`, `${folder.path}/fake/config.yaml`);
  assert.deepEqual(namesIn(folder.path), ["a", "sweep/b", "sweep/c"]);
  assert.deepEqual(namesIn(`${folder.path}/sweep/b`), ["b"]);
  assert.deepEqual(namesIn(`${folder.path}/link`), ["outside"], "whoever names a link means it");
  assert.deepEqual(namesIn(`${folder.path}/not there`), []);
});

Deno.test("no name leads out of the folder", async () => {
  await using folder = await RunsFolder.open();
  await using elsewhere = await RunsFolder.open();
  const outside = await elsewhere.add("outside");
  await folder.add("sweep/a");
  await Deno.symlink(elsewhere.path, `${folder.path}/up`);
  await Deno.symlink(outside.path, `${folder.path}/link`);
  const out = `../${elsewhere.path.split("/").at(-1)}/outside`;
  const names = [
    "link",
    "up/outside",
    out,
    `sweep/../${out}`,
    outside.path,
    ".",
    "..",
    "",
    "/",
    "sweep",
    "sweep/",
  ];
  for (
    const name of [
      ...names,
      "sweep//a",
      "./sweep/a",
      "sweep/a/",
      "sweep/a\0",
      "x".repeat(5000),
      "x".repeat(300),
    ]
  ) {
    assert.equal(findRun(folder.path, name), undefined, JSON.stringify(name));
  }
  assert.equal(findRun(folder.path, "sweep/a")?.name, "sweep/a");
  assert.equal(findRun(`${folder.path}/sweep/a`, "../a"), undefined);
});

Deno.test("a run of flashmob 0.1 is listed", async () => {
  const [item, ...others] = await new Runs(OLD_RUN).list();
  assert.equal(others.length, 0);
  const { started, updated, ...rest } = item;
  assert.ok(started && updated);
  assert.equal(rest.tokensPerSecond.toFixed(1), "726.4");
  assert.deepEqual({ ...rest, tokensPerSecond: 0, differs: { "model.dim": rest.differs["model.dim"] } }, {
    ...{ name: "run", state: "done", step: 4, steps: 4, loss: 5.8179521560668945 },
    ...{ valLoss: 5.589091777801514, best: { step: 4, valLoss: 5.589091777801514 }, tokensPerSecond: 0 },
    ...{ elapsed: 0.398967041015625, workers: 2, parameters: null, differs: { "model.dim": 16 } },
  });
});

Deno.test("the state of a run follows its lock, then its last event, then its summary", async () => {
  await using folder = await RunsFolder.open();
  const run = await folder.add("a", { steps: 5 });
  const runs = new Runs(folder.path);
  const state = async () => (await runs.list())[0].state;
  assert.equal(await state(), "ended");
  await run.write("summary.json", JSON.stringify({ steps: 5, interrupted: false }));
  assert.equal(await state(), "done");
  await run.append("metrics.jsonl", stepLine(6)); // it was resumed, and killed
  assert.equal(await state(), "ended");
  await run.append("events.jsonl", { at: timeAt(1), event: "ended", step: 6, outcome: "failed", error: "x" });
  assert.equal(await state(), "failed");
  await run.append("events.jsonl", { at: timeAt(2), event: "resumed", step: 6 });
  assert.equal(await state(), "ended");
  {
    using _lock = await FolderLock.take(run.path);
    assert.equal(await state(), "running");
  }
  assert.equal(await state(), "ended");
  const killed = { pid: 2 ** 22 + 1, host: Deno.hostname(), boot: "another", since: timeAt(0), beat: 3 };
  await run.write("run.lock", JSON.stringify(killed));
  assert.equal(await state(), "running", "on another machine, with a fresh heartbeat");
  await Deno.utime(`${run.path}/run.lock`, new Date(), new Date(Date.now() - 60_000));
  assert.equal(await state(), "ended");
});

Deno.test("a killed process of this machine runs no more, whatever its lock says", async () => {
  await using folder = await RunsFolder.open();
  const run = await folder.add("a", { steps: 5 });
  const lock = new URL("../../src/run/folder/lock.ts", import.meta.url).href;
  const script = `const { FolderLock } = await import("${lock}");
    await FolderLock.take(Deno.args[0]); console.log("held"); await new Promise(() => setInterval(() => {}, 1e6))`;
  await using place = await RunsFolder.open();
  await Deno.writeTextFile(`${place.path}/hold.ts`, script);
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--no-check",
      "-A",
      "--config",
      new URL("../../deno.json", import.meta.url).pathname,
      `${place.path}/hold.ts`,
      run.path,
    ],
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const out = child.stdout.getReader();
  await out.read();
  const runs = new Runs(folder.path);
  const state = async () => (await runs.list())[0].state;
  assert.equal(await state(), "running");
  child.kill("SIGKILL");
  await child.status;
  await out.cancel();
  assert.equal(await state(), "ended");
});

Deno.test("the newest run comes first, and a line is read again when its folder has changed", async () => {
  await using folder = await RunsFolder.open();
  const [older, newer] = [await folder.add("older", { steps: 1 }), await folder.add("newer")];
  await newer.append("events.jsonl", { at: timeAt(100), event: "resumed", step: 0 });
  const runs = new Runs(folder.path);
  assert.deepEqual((await runs.list()).map(({ name, step }) => [name, step]), [["newer", 0], ["older", 1]]);
  await older.append("metrics.jsonl", stepLine(2), { at: timeAt(1), step: 2, valLoss: 2.25 });
  const [, { step, best, steps, started }] = await runs.list();
  assert.deepEqual([step, best, steps, started], [2, { step: 2, valLoss: 2.25 }, 100, timeAt(0.1)]);
});

Deno.test("what a run's folder says is read as it grows, and begins anew after a resume that discards steps", async () => {
  await using folder = await RunsFolder.open();
  const made = await folder.add("a", { steps: 10 });
  const runs = new Runs(folder.path);
  const run = (await runs.open("a"))!;
  assert.deepEqual(run.cursor, { epoch: 0, steps: 10, validation: 0, events: 0, usage: 0 });
  await made.append("metrics.jsonl", stepLine(11), { step: 11, valLoss: 2 });
  await made.append("events.jsonl", {
    at: timeAt(1),
    event: "lost",
    step: 11,
    member: "<script>",
    members: 1,
    reason: "r",
  });
  await made.append("members.jsonl", membersLine(11, { x: { computing: 6, exchanging: 3, waiting: 1 } }));
  assert.equal(await runs.open("a"), run);
  assert.deepEqual(run.cursor, { epoch: 0, steps: 11, validation: 1, events: 1, usage: 1 });
  assert.equal(run.events.events[0].event, "lost");
  assert.deepEqual(run.members?.members.x.range, [0, 4]);
  const { usage, validation, columns } = run.curves(100, 11, 11);
  assert.deepEqual([usage.computing, usage.exchanging, usage.waiting], [[0.6], [0.3], [0.1]]);
  assert.deepEqual([validation.step, columns.step], [[11], [11]]);
  await made.append("events.jsonl", { at: timeAt(1), event: "evaluated", step: 11, valLoss: NaN }, {
    event: "later",
  });
  await runs.open("a");
  assert.deepEqual(run.eventsSince(1), [{ at: timeAt(1), event: "evaluated", step: 11, valLoss: NaN }]);
  await made.discardAfter(4);
  await runs.open("a");
  assert.deepEqual([run.cursor.epoch, run.cursor.steps, run.cursor.validation], [1, 4, 0]);
});

Deno.test("where each step was evaluated, as many evaluations are shown as points, and the last", async () => {
  await using folder = await RunsFolder.open();
  const made = await folder.add("a", { steps: 1 });
  await made.append(
    "metrics.jsonl",
    ...Array.from({ length: 1000 }, (_, i) => ({ step: i + 1, valLoss: 2 })),
  );
  const { validation } = (await runIn(made.path)).curves(10);
  assert.deepEqual([validation.step.length, validation.step[0], validation.step.at(-1)], [11, 1, 1000]);
});

Deno.test("a folder in which everything is damaged is listed all the same", async () => {
  await using folder = await RunsFolder.open();
  const run = await folder.add("a");
  for (
    const file of [
      "config.yaml",
      "metrics.jsonl",
      "events.jsonl",
      "members.jsonl",
      "summary.json",
      "run.lock",
    ]
  ) {
    await run.write(file, '\u0000{"step": [\n{"event":"ended"}\n- : x\n');
  }
  const [{ state, step, steps, loss, differs }] = await new Runs(folder.path).list();
  assert.deepEqual({ state, step, steps, loss, differs }, {
    state: "ended",
    step: 0,
    steps: 0,
    loss: NaN,
    differs: {},
  });
  await run.write("config.yaml", "a: &a [*a, *a]\ndata: {seqLen: .inf}\nmodel: {groupSize: 1}\n");
  assert.deepEqual((await new Runs(folder.path).list())[0].differs, {});
});

Deno.test("one run is asked for by its folder", async () => {
  await using folder = await RunsFolder.open();
  const run = await folder.add("a", { steps: 3 });
  assert.equal((await runIn(run.path)).item.step, 3);
  assert.equal((await runIn(folder.path)).item.name, "a");
  await folder.add("b");
  await assert.rejects(runIn(folder.path), /holds 2 runs; name one/);
  await assert.rejects(runIn(`${folder.path}/c`), /there is no run in it/);
});

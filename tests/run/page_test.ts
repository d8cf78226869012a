/** The page of a run, as a user starts it. @module */

import assert from "node:assert/strict";
import { type Command, reach, start } from "./support/commands.ts";
import { until, Workplace } from "./support/runs.ts";

const ADDRESS = /^watch +(http:\/\/127\.0\.0\.1:\d+\/)$/m;

/** A run in one process whose steps take some milliseconds: the page is answered between two of them. */
function train(place: Workplace, ...args: string[]): Command {
  return start(
    "train",
    ...[
      "--model.dim=8",
      "--model.depth=1",
      "--model.groupSize=8",
      "--model.queryKeyDim=8",
      "--data.seqLen=8",
    ],
    ...["--train.batch=1", "--eval.windows=1", "--eval.every=0", "--backend=cpu", "--workers=0"],
    ...[`--data=${place.text}`, `--out=${place.run("a")}`, ...args],
  );
}

Deno.test("a run with --dashboard says where its page is, and serves itself alone while it goes on", async () => {
  await using place = await Workplace.open();
  await Deno.mkdir(place.run("other"));
  await Deno.writeTextFile(`${place.run("other")}/config.yaml`, "{}");
  const run = train(place, "--steps=1000000", "--dashboard");
  await until("the address", () => ADDRESS.test(run.stdout()), 60);
  await reach(place, "a", 2);
  const url = ADDRESS.exec(run.stdout())![1];
  const { runs } = await (await fetch(`${url}api/runs`)).json();
  assert.deepEqual(runs.map(({ name, state }: { name: string; state: string }) => [name, state]), [[
    "a",
    "running",
  ]]);
  assert.ok(runs[0].step >= 2 && runs[0].loss > 0);
  const listens = await fetch(`${url}api/stream?name=a`);
  run.kill("SIGINT");
  const { code } = await run.ended;
  assert.equal(code, 130);
  await listens.body?.cancel().catch(() => {});
});

Deno.test("a run in a pipe has no page, unless asked for", async () => {
  await using place = await Workplace.open();
  const run = train(place, "--steps=1");
  const { code, stdout } = await run.ended;
  assert.equal(code, 0);
  assert.ok(!ADDRESS.test(stdout), stdout);
});

Deno.test("deno task dashboard prints its address alone on standard output, and ends on Ctrl-C", async () => {
  await using place = await Workplace.open();
  const missing = await start("dashboard", place.run("missing")).ended;
  assert.deepEqual([missing.code, missing.stdout], [2, ""]);
  assert.match(missing.stderr, /there is no such folder/);
  const dashboard = start("dashboard", place.folder, "--port=0");
  await until("the address", () => dashboard.stdout().includes("\n"), 60);
  const url = dashboard.stdout().trim();
  assert.deepEqual(await (await fetch(`${url}api/runs`)).json(), { runs: [] });
  dashboard.kill("SIGINT");
  const { code, stdout } = await dashboard.ended;
  assert.deepEqual([code, stdout], [130, `${url}\n`]);
});

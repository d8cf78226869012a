/** Several machines, as three folders: whichever computes, the run's folder on the coordinator's machine has everything. @module */

import assert from "node:assert/strict";
import { findCheckpoint } from "../../src/checkpoint/checkpoint.ts";
import { readStateFile } from "../../src/checkpoint/files.ts";
import { type Command, reach, SMALL, start } from "./support/commands.ts";
import { descendants, eventsOf, metricsOf, until, Workplace } from "./support/runs.ts";

const CPU = "--backend=cpu";
/** The parameters of an undisturbed run of `steps` steps. */
async function expectedHash(place: Workplace, steps: number): Promise<string> {
  const args = [...SMALL, `--data=${place.text}`, `--out=${place.run("alone")}`, `--steps=${steps}`];
  const { code, stderr } = await start("train", ...args, "--workers=0", CPU).ended;
  assert.equal(code, 0, stderr);
  return summaryOf(place, "alone").paramsHash;
}

const summaryOf = (place: Workplace, name: string) =>
  JSON.parse(Deno.readTextFileSync(`${place.run(name)}/summary.json`));

/** A coordinator, once it listens. */
async function coordinate(...args: string[]): Promise<{ command: Command; url: string }> {
  const command = start("coordinator", ...args);
  await until("it says how to join", () => command.stdout().includes("--join"));
  return { command, url: /--join (\S+) --run/.exec(command.stdout())![1] };
}

/** Arguments of a new run. */
const begin = (place: Workplace, steps: number, ...args: string[]) => [
  ...SMALL,
  ...[
    `--data=${place.text}`,
    `--out=${place.run("demo")}`,
    "--run=demo",
    `--steps=${steps}`,
    "--listen=127.0.0.1:0",
  ],
  ...args,
];

const join = (url: string, name: string, workers = 1, ...args: string[]) =>
  start("train", "--join", url, "--run=demo", `--workers=${workers}`, `--machine.name=${name}`, CPU, ...args);

Deno.test("the run's folder on the coordinator's machine has its checkpoints, and others resume it there", async () => {
  await using place = await Workplace.open();
  const expected = await expectedHash(place, 12);
  const { command, url } = await coordinate(
    ...begin(place, 8, "--min-workers=2", "--checkpoint.every=3"),
  );
  const joined = [join(url, "b"), join(url, "c")];
  for (const worker of joined) assert.equal((await worker.ended).code, 0, worker.stderr());
  const { code, stderr } = await command.ended;
  assert.equal(code, 0, stderr);
  const saved = eventsOf(place.run("demo")).filter((event) => event.event === "saved");
  assert.deepEqual(saved.map(({ step }) => step), [3, 6, 8]);
  for (const { member, place: path, elsewhere } of saved) {
    assert.match(member, /^[bc]-0$/);
    assert.ok(path.startsWith(place.run("demo")) && elsewhere === undefined);
  }
  const generated = await start("generate", place.run("demo"), "--prompt=the ", "--tokens=4").ended;
  assert.equal(generated.code, 0, generated.stderr);
  const evaluated = await start("evaluate", place.run("demo"), `--data=${place.text}`).ended;
  assert.match(evaluated.stdout, /loss \d/);

  const resumed = await coordinate("--resume", place.run("demo"), "--steps=12");
  const other = join(resumed.url, "d", 2);
  assert.equal((await other.ended).code, 0, other.stderr());
  assert.equal((await resumed.command.ended).code, 0);
  assert.match(other.stderr(), /restores the state of step 8 from the coordinator/);
  assert.equal(summaryOf(place, "demo").paramsHash, expected);
});

Deno.test("SIGTERM to all processes of a run on several machines saves it in the coordinator's folder", async () => {
  await using place = await Workplace.open();
  const { command, url } = await coordinate(
    ...begin(place, 100_000, "--min-workers=2", "--eval.every=0"),
  );
  const joined = [join(url, "b"), join(url, "c")];
  await reach(place, "demo", 5);
  const all = [command, ...joined].flatMap(({ pid }) => [pid, ...descendants(pid).map((child) => child.pid)]);
  const asked = Date.now();
  new Deno.Command("kill", { args: ["-TERM", ...all.map(String)] }).outputSync(); // some may be gone by then
  const { code } = await command.ended;
  assert.ok(Date.now() - asked < 12_000, `${Date.now() - asked} ms`);
  assert.equal(code, 130, command.stderr());
  for (const worker of joined) assert.equal((await worker.ended).code, 130, worker.stderr());
  const { steps, interrupted } = summaryOf(place, "demo");
  assert.ok(interrupted);
  assert.ok(await findCheckpoint(`${place.run("demo")}/checkpoints`, steps), command.stderr());
});

Deno.test("the last workers that leave save first, and the coordinator continues with others", async () => {
  await using place = await Workplace.open();
  const expected = await expectedHash(place, 60);
  const { command, url } = await coordinate(...begin(place, 60));
  const first = join(url, "b");
  await reach(place, "demo", 5);
  first.kill("SIGTERM");
  assert.equal((await first.ended).code, 130, first.stderr());
  const { member, step } = eventsOf(place.run("demo")).find((event) => event.event === "saved")!;
  assert.ok(member === "b-0" && step >= 5);
  const second = join(url, "c");
  assert.equal((await second.ended).code, 0, second.stderr());
  assert.equal((await command.ended).code, 0);
  assert.equal(summaryOf(place, "demo").paramsHash, expected);
});

Deno.test("a resume that misses a checkpoint on record fails, changes nothing, and can be forced", async () => {
  await using place = await Workplace.open();
  const { command, url } = await coordinate(...begin(place, 8, "--checkpoint.every=4"));
  const worker = join(url, "b");
  assert.equal((await worker.ended).code, 0, worker.stderr());
  assert.equal((await command.ended).code, 0);
  const folder = place.run("demo");
  await Deno.remove((await findCheckpoint(`${folder}/checkpoints`, 8))!, { recursive: true });
  const before = Deno.readTextFileSync(`${folder}/metrics.jsonl`) +
    Deno.readTextFileSync(`${folder}/events.jsonl`);
  const words = /b-0 has saved step 8 .*the newest here is that of step 4.*--from-step 4/;
  for (const args of [["train", "--resume", folder], ["coordinator", "--resume", folder]] as const) {
    const [task, ...rest] = args;
    const { code, stderr } = await start(task, ...rest, ...(task === "train" ? [CPU] : [])).ended;
    assert.notEqual(code, 0);
    assert.match(stderr, words);
  }
  const after = Deno.readTextFileSync(`${folder}/metrics.jsonl`) +
    Deno.readTextFileSync(`${folder}/events.jsonl`);
  assert.equal(after, before);
  const forced = await start("train", "--resume", folder, "--from-step=4", "--workers=0", CPU).ended;
  assert.equal(forced.code, 0, forced.stderr);
  assert.match(forced.stderr, /continues from step 4/);
  assert.equal(metricsOf(folder).steps.length, 8);
  const again = await start("train", "--resume", folder, "--from-start", "--workers=0", CPU).ended;
  assert.equal(again.code, 0, again.stderr);
  assert.deepEqual(metricsOf(folder).steps.map(({ step }) => step), [1, 2, 3, 4, 5, 6, 7, 8]);
  assert.ok(await findCheckpoint(`${folder}/checkpoints.discarded`, 8), "what was there is set aside");
});

Deno.test("a worker that joins into the folder of another run is rejected, and nothing there changes", async () => {
  await using place = await Workplace.open();
  await expectedHash(place, 4);
  const listing = () =>
    [...Deno.readDirSync(`${place.run("alone")}/checkpoints`)].map(({ name }) => name).sort().join();
  const before = listing();
  const { command, url } = await coordinate(...begin(place, 4));
  const wrong = join(url, "b", 1, `--out=${place.run("alone")}`);
  assert.equal((await wrong.ended).code, 1);
  assert.match(wrong.stderr(), /--out .*alone: this folder holds another run/);
  assert.equal(listing(), before);
  const right = join(url, "b");
  assert.equal((await right.ended).code, 0, right.stderr());
  assert.equal((await command.ended).code, 0);
  const { run } = await readStateFile((await findCheckpoint(`${place.run("demo")}/checkpoints`, 4))!);
  assert.match(Deno.readTextFileSync(`${place.run("demo")}/config.yaml`), new RegExp(`id: ${run}`));
});

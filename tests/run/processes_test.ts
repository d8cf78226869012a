import assert from "node:assert/strict";
import { reach, SMALL, start, train } from "./support/commands.ts";
import { descendants, isGone, metricsOf, until, Workplace } from "./support/runs.ts";

Deno.test("deno task train trains, shows it, writes its folder and leaves no process behind", async () => {
  await using place = await Workplace.open();
  const run = train(place, "run", "--workers=2", "--steps=4", "--eval.every=2");
  await reach(place, "run", 1);
  const children = descendants(run.pid).map(({ pid }) => pid);
  const { code, stdout } = await run.ended;
  assert.equal(code, 0);
  assert.match(stdout, /step 4\/4 {2}loss \d/);
  assert.match(stdout, /done after step 4: loss \d/);
  const folder = place.run("run");
  assert.match(
    stdout,
    new RegExp(`^run {7}${folder}\nmodel .*\ntext .*\nsteps .*\nbatch .*\nmachine {3}2 workers`),
  );
  assert.ok(stdout.endsWith(`\nlonger    deno task train --resume ${folder} --steps 8\n`), stdout);
  const again = await start("train", "--resume", folder).ended;
  assert.deepEqual([again.code, again.stderr], [0, "the run is done already: step 4 was its last\n"]);
  assert.match(again.stdout, /^done after step 4: loss \d.*\nrun {7}/);
  assert.ok(children.length >= 4, "a server, a coordinator and two workers");
  await until("all children are gone", () => isGone(children), 5);
  const names = [...Deno.readDirSync(place.run("run"))].map(({ name }) => name).sort();
  assert.deepEqual(names, [
    "checkpoints",
    "config.yaml",
    "events.jsonl",
    "members.jsonl",
    "metrics.jsonl",
    "record.jsonl",
    "summary.json",
  ]);
});

Deno.test("Ctrl-C finishes the step, saves a checkpoint and exits with 130; the run can be resumed", async () => {
  await using place = await Workplace.open();
  const run = train(place, "run", "--workers=2", "--steps=100000");
  await reach(place, "run", 2);
  const children = descendants(run.pid).map(({ pid }) => pid);
  run.kill("SIGINT");
  assert.equal((await run.ended).code, 130);
  await until("all children are gone", () => isGone(children), 5);
  const { steps, interrupted } = JSON.parse(await Deno.readTextFile(`${place.run("run")}/summary.json`));
  assert.equal(interrupted, true);
  assert.equal(metricsOf(place.run("run")).steps.at(-1)?.step, steps);
  const more = start("train", "--resume", place.run("run"), `--steps=${steps + 2}`, "--workers=1");
  assert.equal((await more.ended).code, 0);
  assert.equal(metricsOf(place.run("run")).steps.at(-1)?.step, steps + 2);
});

Deno.test("Ctrl-C while workers start ends the run, and nothing more is said of starting", async () => {
  await using place = await Workplace.open();
  const run = train(place, "run", "--workers=2", "--steps=100000");
  await until("a worker starts", () => run.stderr().includes("computes with"), 60);
  run.kill("SIGINT");
  const { code, stderr, stdout } = await run.ended;
  assert.equal(code, 130);
  const [, after] = stderr.split(/^ends: .*\n/m);
  assert.doesNotMatch(after, /computes|compiles|joined|waiting/);
  assert.match(stdout + stderr, new RegExp(`continue {2}deno task train --resume ${place.run("run")}\n`));
});

Deno.test("a killed launcher leaves no process behind", async () => {
  await using place = await Workplace.open();
  const run = train(place, "run", "--workers=2", "--steps=100000");
  await reach(place, "run", 1);
  const children = descendants(run.pid).map(({ pid }) => pid);
  assert.ok(children.length >= 4);
  run.kill("SIGKILL");
  await run.ended;
  await until("all children are gone", () => isGone(children), 10);
});

Deno.test("a worker that is killed is started again and joins again; the bits are those of one process", async () => {
  await using place = await Workplace.open();
  const run = train(place, "run", "--workers=2", "--steps=100000", "--machine.name=here");
  await reach(place, "run", 2);
  const worker = descendants(run.pid).find(({ command }) => command.endsWith("child.ts here-1"));
  assert.ok(worker);
  Deno.kill(worker.pid, "SIGKILL");
  const counts = () => metricsOf(place.run("run")).steps.map(({ workers }) => workers);
  await until(
    "it computes again",
    () => run.stderr().split("here-1 joined").length === 3 && counts().at(-1) === 2,
    60,
  );
  const children = descendants(run.pid).map(({ pid }) => pid);
  run.kill("SIGINT");
  const { code, stderr } = await run.ended;
  assert.equal(code, 130, stderr);
  assert.match(stderr, /here-1: the process ended with SIGKILL; restarting it in 2.5 s/);
  assert.match(stderr, /here-1 left \(its process has ended.*\), members: 1/);
  assert.match(stderr, /here-1 restores the state of step \d+ from here-0/);
  assert.deepEqual([...new Set(counts())], [2, 1]);
  await until("all children are gone", () => isGone(children), 5);
  const summaryOf = (name: string) => JSON.parse(Deno.readTextFileSync(`${place.run(name)}/summary.json`));
  const { steps, paramsHash } = summaryOf("run");
  assert.equal((await train(place, "calm", "--workers=0", `--steps=${steps}`).ended).code, 0);
  assert.equal(summaryOf("calm").paramsHash, paramsHash);
});

Deno.test("a coordinator that is killed is started again and takes the workers over; the bits are those of one process", async () => {
  await using place = await Workplace.open();
  const run = train(place, "run", "--workers=2", "--steps=100000", "--eval.every=0", "--machine.name=here");
  await reach(place, "run", 3);
  const before = descendants(run.pid);
  const coordinator = before.find(({ command }) => command.endsWith("child.ts coordinator"));
  Deno.kill(coordinator!.pid, "SIGKILL");
  await until(
    "another coordinator has replaced it",
    () => run.stderr().includes("failover to this coordinator"),
    60,
  );
  const learned = Number(/failover .* continues from step (\d+)/.exec(run.stderr())![1]);
  await reach(place, "run", learned + 3);
  const pids = descendants(run.pid).map(({ pid }) => pid);
  const workers = before.filter(({ command }) => /child.ts here-\d$/.test(command)).map(({ pid }) => pid);
  assert.ok(workers.length === 2 && workers.every((pid) => pids.includes(pid)), "the same workers");
  run.kill("SIGINT");
  const { code, stderr } = await run.ended;
  assert.equal(code, 130, stderr);
  assert.match(stderr, /coordinator: the process ended with SIGKILL; restarting it in 2.5 s/);
  assert.match(
    stderr,
    /here-[01] has lost the coordinator, and waits for it or another one/,
  );
  assert.match(
    stderr,
    /failover to this coordinator \(term 2\): continues from step \d+, members: here-[01], here-[01]/,
  );
  await until("all children are gone", () => isGone(pids), 5);
  const { steps } = metricsOf(place.run("run"));
  const summaryOf = (name: string) => JSON.parse(Deno.readTextFileSync(`${place.run(name)}/summary.json`));
  const summary = summaryOf("run");
  assert.deepEqual(steps.map(({ step }) => step), Array.from({ length: summary.steps }, (_, i) => i + 1));
  assert.equal((await train(place, "calm", "--workers=0", `--steps=${summary.steps}`).ended).code, 0);
  const calm = summaryOf("calm");
  assert.deepEqual([summary.paramsHash, summary.tokens, summary.loss], [
    calm.paramsHash,
    calm.tokens,
    calm.loss,
  ]);
  assert.ok(summary.seconds >= steps.at(-1)!.elapsed && summary.seconds > steps[learned - 1].elapsed);
  assert.equal(summary.stateBytes, 0);
});

Deno.test("wrong arguments are all named at once, with exit code 2, and start nothing", async () => {
  const { code, stderr } = await start("train", "--steps=none", "--modle.dim=3", "--workers=-1").ended;
  assert.equal(code, 2);
  assert.match(stderr, /--modle.dim: unknown; did you mean --model.dim\?/);
  assert.match(stderr, /train.steps: expected a whole number of at least 1, found "none"/);
  assert.match(stderr, /machine.workers: expected a whole number of at least 0, found -1/);
});

/** The steps of a run's checkpoints. */
function stepsIn(folder: string): number[] {
  return [...Deno.readDirSync(`${folder}/checkpoints`)].map(({ name }) => Number(name.slice(5))).sort();
}

Deno.test("workers join a coordinator with the line that it prints", async () => {
  await using place = await Workplace.open();
  const settings = [...SMALL, `--data=${place.text}`, "--steps=4", "--min-workers=2", "--machine.name=hub"];
  const coordinator = start(
    ...[
      "coordinator",
      ...settings,
      "--listen=127.0.0.1:0",
      "--run=demo",
      `--out=${place.run("hub")}`,
    ] as const,
  );
  await until("it says how to join", () => coordinator.stdout().includes("--join"));
  const [, url] = /--join (\S+) --run demo/.exec(coordinator.stdout())!;
  const wrong = start(
    "train",
    "--join",
    url.replace(/\/\/.*@/, "//flashmob:guess@"),
    "--run=demo",
    "--workers=1",
  );
  const rejected = await wrong.ended;
  assert.equal(rejected.code, 1);
  assert.match(rejected.stderr, /does not accept the token/);
  const here = [`--data=${place.text}`, `--out=${place.run("guest")}`];
  const joined = start("train", "--join", url, "--run=demo", "--workers=2", ...here);
  const guest = await joined.ended;
  assert.equal(guest.code, 0);
  assert.match(guest.stdout, /^step 1\/4 {2}loss \d\.\d+ {2}\d of 6 micro-batches/);
  assert.match(guest.stdout, /\nthe run is done: step 4 was its last\n$/);
  const { code, stderr } = await coordinator.ended;
  assert.equal(code, 0);
  assert.equal(metricsOf(place.run("hub")).steps.length, 4);
  assert.deepEqual(stepsIn(place.run("hub")), [4], "the coordinator has collected it");
  assert.deepEqual(stepsIn(place.run("guest")), [4], "its member was asked to keep it, too");
  assert.doesNotMatch(stderr, /on the machine of/);
});

Deno.test("coordinator --resume continues with the workers that are alive, and from the newest checkpoint where none is", async () => {
  await using place = await Workplace.open();
  const settings = [
    ...SMALL,
    `--data=${place.text}`,
    "--steps=100000",
    "--checkpoint.every=2",
    "--eval.every=0",
  ];
  const folder = place.run("hub");
  const first = start("coordinator", ...settings, "--min-workers=2", "--run=demo", `--out=${folder}`);
  await until("it says how to join", () => first.stdout().includes("--join"));
  const [, url] = /--join (\S+) --run demo/.exec(first.stdout())!;
  assert.equal(Deno.statSync(`${folder}/server.json`).mode! & 0o077, 0, "no other user can read the token");
  const join = () =>
    start("train", "--join", url, "--run=demo", "--workers=2", `--data=${place.text}`, `--out=${folder}`);
  const workers = join();
  await reach(place, "hub", 3);
  first.kill("SIGKILL");
  await first.ended;

  const second = start("coordinator", "--resume", folder);
  await until(
    "it has replaced the first",
    () => second.stderr().includes("failover to this coordinator"),
    60,
  );
  const learned = Number(/failover .* continues from step (\d+)/.exec(second.stderr())![1]);
  await reach(place, "hub", learned + 3);
  second.kill("SIGKILL");
  workers.kill("SIGKILL");
  await Promise.all([second.ended, workers.ended]);

  const third = start("coordinator", "--resume", folder);
  await until("it says how to join", () => third.stdout().includes("--join"));
  const others = join();
  await until("it has begun", () => third.stdout().includes("loss"), 60).catch((error) => {
    throw new Error(`${error.message}:\n${third.stderr()}\n${others.stderr()}`);
  });
  third.kill("SIGINT");
  assert.equal((await third.ended).code, 130, third.stderr());
  await others.ended;
  const summary = JSON.parse(await Deno.readTextFile(`${folder}/summary.json`));
  const steps = metricsOf(folder).steps.map(({ step }) => step);
  assert.deepEqual(steps, Array.from({ length: summary.steps }, (_, i) => i + 1));
  assert.equal((await train(place, "calm", "--workers=0", `--steps=${summary.steps}`).ended).code, 0);
  const calm = JSON.parse(await Deno.readTextFile(`${place.run("calm")}/summary.json`));
  assert.deepEqual([summary.paramsHash, summary.tokens], [calm.paramsHash, calm.tokens]);
});

Deno.test("a worker with another text is rejected at join, with the field that differs", async () => {
  await using place = await Workplace.open();
  const other = `${place.folder}/other.txt`;
  await Deno.writeTextFile(other, (await Deno.readTextFile(place.text)).replace("fox", "cat"));
  const settings = [...SMALL, `--data=${place.text}`, "--steps=4", "--min-workers=2"];
  const hub = start("coordinator", ...settings, "--run=demo", `--out=${place.run("hub")}`);
  await until("it says how to join", () => hub.stdout().includes("--join"));
  const [, url] = /--join (\S+) --run demo/.exec(hub.stdout())!;
  const join = ["--join", url, "--run=demo", "--workers=1"];
  const same = [`--data=${place.text}`, `--out=${place.run("first")}`];
  const first = start("train", ...join, "--machine.name=first", ...same);
  await until("the first has joined", () => hub.stderr().includes("first-0 joined"));
  const second = await start("train", ...join, "--machine.name=second", `--data=${other}`).ended;
  assert.equal(second.code, 1);
  assert.match(second.stderr, /rejected second-0 at join.*\n.*SHA-256 of the corpus/);
  first.kill("SIGINT");
  assert.equal((await first.ended).code, 130);
  hub.kill("SIGINT");
  assert.equal((await hub.ended).code, 130);
});

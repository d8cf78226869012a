/** Launched runs that lose more than a worker: they continue where they can, and otherwise end and say why. @module */

import assert from "node:assert/strict";
import { train as trainHere } from "../../../mod.ts";
import { type RecordedEvent, recordedEventSchema } from "../../../src/run/folder/events.ts";
import type { Summary } from "../../../src/run/folder/summary.ts";
import { reach, SMALL, start, train } from "../support/commands.ts";
import { descendants, isGone, metricsOf, until, Workplace } from "../support/runs.ts";

const LONG = ["--steps=100000", "--machine.name=here", "--eval.every=0"];

/** The process of a launch whose command line ends so. */
function child(launcher: number, name: string): number {
  const found = descendants(launcher).find(({ command }) => command.endsWith(`child.ts ${name}`));
  assert.ok(found, `${name} is there`);
  return found.pid;
}

const summaryOf = (place: Workplace, name: string): Summary =>
  JSON.parse(Deno.readTextFileSync(`${place.run(name)}/summary.json`));

/** What happened in a run, each event by the schema. */
const eventsOf = (place: Workplace, name: string): RecordedEvent[] =>
  Deno.readTextFileSync(`${place.run(name)}/events.jsonl`).trim().split("\n")
    .map((line) => recordedEventSchema.parse(JSON.parse(line)));

/** Each step is on record once, and the parameters are those of one process. */
async function assertSame(place: Workplace, name: string): Promise<void> {
  const { steps, paramsHash } = summaryOf(place, name);
  const committed = metricsOf(place.run(name)).steps.map(({ step }) => step);
  assert.deepEqual(committed, Array.from({ length: steps }, (_, i) => i + 1));
  assert.equal((await train(place, "calm", "--workers=0", `--steps=${steps}`).ended).code, 0);
  assert.equal(summaryOf(place, "calm").paramsHash, paramsHash);
}

Deno.test("a coordinator and a worker that are killed at once are both started again; the bits stay the same", async () => {
  await using place = await Workplace.open();
  const run = train(place, "run", "--workers=2", ...LONG);
  await reach(place, "run", 2);
  for (const name of ["coordinator", "here-1"]) Deno.kill(child(run.pid, name), "SIGKILL");
  await until(
    "both workers compute again",
    () =>
      run.stderr().includes("failover to this coordinator") &&
      metricsOf(place.run("run")).steps.at(-1)?.workers === 2,
    60,
  );
  run.kill("SIGINT");
  const { code, stderr } = await run.ended;
  assert.equal(code, 130, stderr);
  await assertSame(place, "run");
  const events = eventsOf(place, "run");
  const [failover, ...others] = events.filter(({ event }) => event === "failover");
  assert.ok(failover.event === "failover" && failover.members.includes("here-0") && others.length === 0);
  const endings = events.filter(({ event }) => event === "ended");
  assert.equal(endings.length, 1, "the coordinator's crash is no end");
  assert.ok(endings[0].event === "ended" && endings[0].outcome === "stopped" && endings[0] === events.at(-1));
});

Deno.test("where all workers that had the state are lost, the run continues from its newest checkpoint", async () => {
  await using place = await Workplace.open();
  const quick = ["--dist.silenceSeconds=3", "--dist.patienceSeconds=1", "--dist.heartbeatSeconds=0.3"];
  const run = train(place, "run", "--workers=1", "--checkpoint.every=2", ...quick, ...LONG);
  await reach(place, "run", 3);
  Deno.kill(child(run.pid, "here-0"), "SIGKILL");
  const said = /no worker has a newer state than that of step (\d+), waiting/;
  await until("another coordinator begins at the checkpoint", () => said.test(run.stderr()), 60);
  await reach(place, "run", Number(said.exec(run.stderr())![1]) + 2);
  run.kill("SIGINT");
  const { code, stderr } = await run.ended;
  assert.equal(code, 130, stderr);
  assert.match(stderr, /coordinator: all workers with the state of step \d+ are lost.*restarting it/);
  await assertSame(place, "run");
});

Deno.test("a run with too few workers left, and none to come, saves and says so", async () => {
  await using place = await Workplace.open();
  const run = train(place, "run", "--workers=2", "--machine.minWorkers=2", ...LONG);
  await reach(place, "run", 2);
  const children = descendants(run.pid).map(({ pid }) => pid);
  Deno.kill(child(run.pid, "here-1"), "SIGTERM"); // it ends well, and is not restarted
  const { code, stderr } = await run.ended;
  assert.equal(code, 1, stderr);
  assert.match(
    stderr,
    /here-1 has left\nthe run needs 2 of its workers and has 1; resume it with .* --resume /,
  );
  const ended = eventsOf(place, "run").at(-1)!;
  assert.ok(ended.event === "ended" && ended.outcome === "failed" && ended.error?.includes("has left"));
  const { steps, interrupted } = summaryOf(place, "run");
  assert.ok(interrupted);
  const saved = [...Deno.readDirSync(`${place.run("run")}/checkpoints`)].map(({ name }) => name);
  assert.ok(saved.includes(`step-${String(steps).padStart(8, "0")}`), `${saved}`);
  await until("all children are gone", () => isGone(children), 10);
});

Deno.test("an error of who watches a launched run ends it with that error, and leaves no process behind", async () => {
  await using place = await Workplace.open();
  const own = new Error("no more room on the screen");
  let children: number[] = [];
  await assert.rejects(
    trainHere(place.config("run", { train: { steps: 1000 }, machine: { workers: 1 } }), {
      onStep: () => {
        children = descendants(Deno.pid).map(({ pid }) => pid);
        throw own;
      },
    }),
    (error) => error === own,
  );
  assert.ok(children.length >= 3, "a server, a coordinator and a worker");
  await until("all children are gone", () => isGone(children), 10);
});

Deno.test("a worker of another machine that is killed is started again, and the others stay", async () => {
  await using place = await Workplace.open();
  const settings = [...SMALL, `--data=${place.text}`, "--steps=100000", "--eval.every=0", "--min-workers=2"];
  const hub = start("coordinator", ...settings, "--run=demo", `--out=${place.run("hub")}`);
  await until("it says how to join", () => hub.stdout().includes("--join"));
  const [, url] = /--join (\S+) --run demo/.exec(hub.stdout())!;
  const there = [
    "--workers=2",
    "--machine.name=there",
    `--data=${place.text}`,
    `--out=${place.run("guest")}`,
  ];
  const guest = start("train", "--join", url, "--run=demo", ...there);
  await reach(place, "hub", 2);
  Deno.kill(child(guest.pid, "there-0"), "SIGKILL");
  await until("it joins again", () => hub.stderr().split("there-0 joined").length === 3, 60);
  assert.match(guest.stderr(), /there-0: the process ended with SIGKILL; restarting it in 2.5 s/);
  hub.kill("SIGINT");
  assert.equal((await hub.ended).code, 130, hub.stderr());
  assert.equal((await guest.ended).code, 0, guest.stderr());
  await assertSame(place, "hub");
});

Deno.test("a coordinator whose own NATS server can't be kept running ends and says why", async () => {
  await using place = await Workplace.open();
  const settings = [...SMALL, `--data=${place.text}`, "--steps=100000", "--run=demo"];
  const hub = start("coordinator", ...settings, `--out=${place.run("hub")}`);
  await until("it says how to join", () => hub.stdout().includes("--join"));
  let hasEnded = false;
  hub.ended.finally(() => hasEnded = true);
  await until("it gives up", () => {
    const server = descendants(hub.pid).find(({ command }) => /^\S*nats-server /.test(command));
    if (server) new Deno.Command("kill", { args: ["-9", String(server.pid)] }).outputSync();
    return hasEnded;
  }, 60);
  const { code, stderr } = await hub.ended;
  assert.equal(code, 1, stderr);
  assert.match(stderr, /the NATS server can't be kept running: it ended 7 times in a row/);
  assert.match(stderr, /waiting for the NATS server to be reachable again/);
});

/** Every way in which a command ends (docs/endings.md): its exit code, its last words, and what is saved. @module */

import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import { startNatsServer } from "../../src/dist/nats/server.ts";
import { newestCheckpoint } from "../../src/checkpoint/checkpoint.ts";
import { type Command, reach, start, startInShell, train } from "./support/commands.ts";
import { descendants, eventsOf, isGone, metricsOf, until, Workplace } from "./support/runs.ts";

const TINY = [
  ...["--model.dim=8", "--model.depth=1", "--model.groupSize=8", "--model.queryKeyDim=8", "--data.seqLen=8"],
  ...["--train.batch=2", "--eval.windows=2", "--machine.backend=cpu"],
];

/** Arguments of a run that takes a moment. */
const argsOf = (place: Workplace, ...args: string[]) =>
  [...TINY, `--data=${place.text}`, `--out=${place.run("run")}`, ...args] as const;

/** Its standard output is a full pipe without a reader. */
const UNREAD =
  'f=$(mktemp -u) && mkfifo "$f" && exec 3<>"$f" && rm "$f" && head -c 65536 /dev/zero >&3; exec "$@" >&3';

/** Its standard output is a pipe that takes no more than fits, and is read slowly once a file is there. */
const nonBlocking = (file: string) =>
  `exec python3 -c 'import fcntl, os, subprocess, sys, time
r, w = os.pipe()
os.set_blocking(w, False)
fcntl.fcntl(w, fcntl.F_SETPIPE_SZ, 4096)
child = subprocess.Popen(sys.argv[1:], stdout = w)
os.close(w)
while child.poll() is None and not os.path.exists("${file}"): time.sleep(0.02)
while (some := os.read(r, 1000)): sys.stdout.buffer.write(some); time.sleep(0.002)
sys.exit(child.wait())' "$@"`;

const summaryOf = (place: Workplace) => JSON.parse(Deno.readTextFileSync(`${place.run("run")}/summary.json`));

/** All steps are on record and the last is saved, by the run itself or by a worker that has joined it. */
async function assertComplete(place: Workplace, steps: number): Promise<void> {
  assert.deepEqual(
    metricsOf(place.run("run")).steps.map(({ step }) => step),
    Array.from({ length: steps }, (_, i) => i + 1),
  );
  assert.equal(summaryOf(place).steps, steps);
  const saved = await Promise.all(
    ["run", "guest"].map((name) => newestCheckpoint(`${place.run(name)}/checkpoints`, assert.fail)),
  );
  assert.ok(saved.includes(steps), `${saved}`);
}

/** It was ended between two steps, saved, and its summary says so. */
async function assertSaved(place: Workplace): Promise<void> {
  assert.equal(summaryOf(place).interrupted, true);
  await assertComplete(place, summaryOf(place).steps);
}

Deno.test("on a terminal the chart at a run's end shows all its steps, also those before a resume", async () => {
  await using place = await Workplace.open();
  const onTerminal = (...args: string[]) =>
    startInShell('exec script -qec "$*" /dev/null', "train", ...args, "--workers=0").ended;
  const first = argsOf(place, "--steps=4", "--eval.every=0");
  const resumed = [`--resume=${place.run("run")}`, "--steps=6"];
  for (const [args, steps] of [[first, 4], [resumed, 6]] as const) {
    const { code, stdout } = await onTerminal(...args);
    assert.equal(code, 0, stdout);
    assert.match(stdout, new RegExp(`┤.*\\n +1 +step ${steps}\\r?\\n`, "s"));
  }
});

for (
  const [what, script, words] of [
    [
      "is closed",
      '"$@" | head -n 1 >/dev/null; exit ${PIPESTATUS[0]}',
      /standard output can't be written: Broken pipe/,
    ],
    ["is a full disk", '"$@" >/dev/full', /standard output can't be written: No space left/],
    ["and error are closed", '"$@" 2>&1 | head -n 1; exit ${PIPESTATUS[0]}', undefined],
    ["and error are full disks", '"$@" >/dev/full 2>&1', undefined],
    ["and error were never open", '"$@" >&- 2>&-', undefined],
  ] as const
) {
  Deno.test(`a run whose standard output ${what} continues to its end, saved`, async () => {
    await using place = await Workplace.open();
    const args = argsOf(place, "--workers=0", "--steps=40");
    const { code, stderr } = await startInShell(script, "train", ...args).ended;
    assert.equal(code, 0, stderr);
    await assertComplete(place, 40);
    if (words) {
      assert.match(stderr, words);
      assert.equal(stderr.split("standard output").length, 2, "said once");
    }
  });
}

for (const workers of [0, 1]) {
  Deno.test(`a run of ${workers} workers whose output is not read continues to its end, saved`, async () => {
    await using place = await Workplace.open();
    const args = argsOf(place, `--workers=${workers}`, "--steps=40", "--json");
    const { code, stderr } = await startInShell(UNREAD, "train", ...args).ended;
    assert.equal(code, 0, stderr);
    await assertComplete(place, 40);
  });
}

Deno.test("what a slow reader of a non-blocking pipe gets is all of it, in order", async () => {
  await using place = await Workplace.open();
  const args = argsOf(place, "--workers=0", "--steps=40", "--json");
  const { code, stdout, stderr } = await startInShell(
    nonBlocking(`${place.run("run")}/summary.json`),
    "train",
    ...args,
  ).ended;
  assert.equal(code, 0, stderr);
  const shown = stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(shown.pop().summary, summaryOf(place));
  assert.deepEqual(shown.filter((line) => "loss" in line), metricsOf(place.run("run")).steps);
});

for (const task of ["train", "coordinator"] as const) {
  Deno.test(`deno task ${task} --json whose reader goes ends with 141, saved`, async () => {
    await using place = await Workplace.open();
    const script = '"$@" | head -n 3 >/dev/null; exit ${PIPESTATUS[0]}';
    const args = argsOf(place, "--steps=100000", "--json", "--run=demo");
    const run = startInShell(script, task, ...args, ...(task === "train" ? ["--workers=0"] : []));
    const guest = task === "train" ? undefined : await joined(place);
    const { code, stderr } = await run.ended;
    assert.equal(code, 141, stderr);
    assert.match(stderr, /standard output can't be written: .*; the run ends/);
    await assertSaved(place);
    if (guest) assert.equal((await guest.ended).code, 0, guest.stderr());
  });
}

/** A worker of another machine, once a coordinator is there. */
async function joined(place: Workplace, ...args: string[]): Promise<Command> {
  const file = `${place.run("run")}/server.json`;
  await until("there is a server", () => {
    try {
      return Deno.statSync(file).isFile;
    } catch {
      return false;
    }
  });
  const { listen: { port }, token } = JSON.parse(await Deno.readTextFile(file));
  const out = `--out=${place.run("guest")}`;
  const url = `nats://flashmob:${token}@127.0.0.1:${port}`;
  return start("train", "--join", url, "--run=demo", "--workers=1", "--backend=cpu", out, ...args);
}

const LONG = ["--steps=100000", "--eval.every=0"];

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  Deno.test(`${signal}, and another signal at once, ends a run with 130, saved, and says so`, async () => {
    await using place = await Workplace.open();
    const run = startInShell(
      'exec env --default-signal=HUP "$@"',
      "train",
      ...argsOf(place, "--workers=0", ...LONG),
    );
    await reach(place, "run", 2);
    run.kill(signal);
    run.kill(signal === "SIGTERM" ? "SIGINT" : "SIGTERM");
    const { code, stderr } = await run.ended;
    assert.equal(code, 130, stderr);
    assert.match(
      stderr,
      /ends: finishes the step and saves; a second signal ends it without saving/,
    );
    await assertSaved(place);
  });
}

Deno.test("a signal to the whole process group of deno task, which passes it on, ends a run with 130, saved", async () => {
  await using place = await Workplace.open();
  const args = ["task", "train", ...argsOf(place, "--workers=1", ...LONG)];
  const run = new Deno.Command(Deno.execPath(), { args, stdout: "null", stderr: "piped", detached: true })
    .spawn();
  await reach(place, "run", 2);
  Deno.kill(-run.pid, "SIGTERM");
  const { code, stderr } = await run.output();
  assert.equal(code, 130, new TextDecoder().decode(stderr));
  await assertSaved(place);
});

Deno.test("under nohup SIGHUP stays ignored; other signals are heard", async () => {
  await using place = await Workplace.open();
  const run = startInShell('exec nohup "$@"', "train", ...argsOf(place, "--workers=1", ...LONG));
  await reach(place, "run", 2);
  run.kill("SIGHUP");
  const { length } = metricsOf(place.run("run")).steps;
  await reach(place, "run", length + 20);
  run.kill("SIGTERM");
  const { code, stderr } = await run.ended;
  assert.equal(code, 130, stderr);
  await assertSaved(place);
});

Deno.test("a second signal, a second after the first, ends a run that can't finish its step at once", async () => {
  await using place = await Workplace.open();
  const run = train(place, "run", "--backend=cpu", "--workers=1", "--machine.name=here", ...LONG);
  await reach(place, "run", 2);
  const children = descendants(run.pid);
  const worker = children.find(({ command }) => command.endsWith("child.ts here-0"))!.pid;
  Deno.kill(worker, "SIGSTOP");
  run.kill("SIGTERM");
  await pause(1500);
  const before = Date.now();
  run.kill("SIGTERM");
  const { code, stderr } = await run.ended;
  Deno.kill(worker, "SIGCONT");
  assert.equal(code, 130, stderr);
  assert.ok(Date.now() - before < 5000);
  assert.match(stderr, /ended at once\n$/);
  const ended = eventsOf(place.run("run")).filter(({ event }) => event === "ended");
  assert.deepEqual(ended.map(({ at: _, step: __, ...ending }) => ending), [{
    event: "ended",
    outcome: "stopped",
    error: "its process ended at once; what was not saved by then is lost",
  }]);
  await until("all children are gone", () => isGone(children.map(({ pid }) => pid)), 10);
});

Deno.test("a run whose launcher is stopped by Ctrl-Z continues, and is shown when the launcher runs again", async () => {
  await using place = await Workplace.open();
  const run = start("train", ...argsOf(place, "--workers=1", "--steps=200", "--json"));
  await reach(place, "run", 2);
  Deno.kill(run.pid, "SIGSTOP");
  await reach(place, "run", 200); // more metrics than a pipe holds
  Deno.kill(run.pid, "SIGCONT");
  const { code, stdout, stderr } = await run.ended;
  assert.equal(code, 0, stderr);
  const evaluations = metricsOf(place.run("run")).evaluations.length;
  assert.equal(stdout.trimEnd().split("\n").length, 1 + 200 + evaluations + 1);
  await assertComplete(place, 200);
});

Deno.test("a worker and a reducer that join a run end with 130 at a signal, and the run continues", async () => {
  await using place = await Workplace.open();
  const hub = start("coordinator", ...argsOf(place, ...LONG, "--run=demo"));
  const one = await joined(place, "--machine.name=one"), two = await joined(place, "--machine.name=two");
  await until("it says how to join", () => hub.stdout().includes("--join"));
  const [, url] = /--join (\S+) --run demo/.exec(hub.stdout())!;
  const reducer = start("coordinator", "--reducer", "--nats", url, "--run=demo");
  await until(
    "all are there",
    () =>
      /one-0 joined[^]*two-0 joined|two-0 joined[^]*one-0 joined/.test(hub.stderr()) &&
      /reduces from the next step/.test(hub.stderr()),
  );
  for (const guest of [one, reducer]) guest.kill("SIGHUP");
  for (const guest of [one, reducer]) {
    const { code, stderr } = await guest.ended;
    assert.equal(code, 130, stderr);
    assert.match(stderr, /leaves the run/);
  }
  const { length } = metricsOf(place.run("run")).steps;
  await reach(place, "run", length + 5);
  hub.kill("SIGTERM");
  assert.deepEqual([(await hub.ended).code, (await two.ended).code], [130, 0], hub.stderr());
  await assertSaved(place);
});

Deno.test("a reducer whose coordinator is gone for good ends with 1 and says so", async () => {
  await using place = await Workplace.open();
  const impatient = ["--dist.silenceSeconds=2", "--dist.patienceSeconds=1", "--dist.heartbeatSeconds=0.3"];
  await using server = await startNatsServer(); // the coordinator's own would go with it, and be waited for
  const { url } = server;
  const hub = start("coordinator", ...argsOf(place, ...LONG, "--run=demo", `--nats=${url}`, ...impatient));
  await until("it says how to join", () => hub.stdout().includes("--join"));
  const reducer = start("coordinator", "--reducer", "--nats", url, "--run=demo");
  await until("it reduces", () => hub.stderr().includes("reduces from the next step"));
  hub.kill("SIGKILL");
  const { code, stderr } = await reducer.ended;
  assert.equal(code, 1, stderr);
  assert.match(stderr, /the coordinator of the run "demo" is gone, and no other came for 2 s\n$/);
});

for (
  const [task, script, expected, words] of [
    ["train", '"$@" | head -c 1 >/dev/null; exit ${PIPESTATUS[0]}', 0, /^(?![^]*standard output)/],
    ["train", '"$@" >/dev/full', 1, /standard output can't be written: No space left on device/],
    ["setup", '"$@" >/dev/full', 1, /standard output can't be written/],
    ["train", '"$@" >&-', 0, /^(?![^]*standard output)/],
  ] as const
) {
  Deno.test(`deno task ${task} --help: ${script}`, async () => {
    const { code, stderr } = await startInShell(script, task, "--help").ended;
    assert.deepEqual([code, words.test(stderr)], [expected, true], stderr);
  });
}

Deno.test("what generate, evaluate and convert can't write: a reader that has gone is no error, a full disk is", async () => {
  await using place = await Workplace.open();
  const trained = await start("train", ...argsOf(place, "--workers=0", "--steps=1")).ended;
  assert.equal(trained.code, 0, trained.stderr);
  const folder = place.run("run");
  const closed = '"$@" | head -c 20 >/dev/null; exit ${PIPESTATUS[0]}';
  const gone = await startInShell(closed, "generate", folder, "--prompt=a", "--tokens=2000").ended;
  assert.equal(gone.code, 0, gone.stderr);
  assert.doesNotMatch(gone.stderr, /standard output/);
  for (
    const [task, ...args] of [
      ["generate", "--prompt=a", "--tokens=4"],
      ["evaluate", `--data=${place.text}`],
      ["convert", `${place.folder}/out.safetensors`],
    ] as const
  ) {
    const full = await startInShell('"$@" >/dev/full', task, folder, ...args).ended;
    assert.equal(full.code, 1, task);
    assert.match(full.stderr, /standard output can't be written: No space left on device/);
  }
});

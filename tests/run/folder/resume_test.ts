import assert from "node:assert/strict";
import { type RunEvent, train } from "../../../mod.ts";
import { type Config, loadConfig } from "../../../src/config/config.ts";
import { eventFilesIn, valuesIn } from "../../tensorboard/read_events.ts";
import { start } from "../support/commands.ts";
import { metricsOf, samplesOf, Workplace } from "../support/runs.ts";

/** A run of two steps. */
async function begun(): Promise<Workplace> {
  const place = await Workplace.open();
  await train(place.config("run", { train: { steps: 2 } }));
  return place;
}

const resume = (place: Workplace, ...args: string[]) =>
  start("train", "--resume", place.run("run"), "--workers=0", ...args).ended;

/** All files of a run and when they were written. */
function filesIn(folder: string): string[] {
  return [...Deno.readDirSync(folder)].flatMap(({ name, isDirectory }) => {
    const path = `${folder}/${name}`;
    return isDirectory ? filesIn(path) : [`${path} ${Deno.statSync(path).mtime!.getTime()}`];
  }).sort();
}

Deno.test("--resume with another model names each field, wanted and found, and touches nothing", async () => {
  await using place = await begun();
  const before = filesIn(place.run("run"));
  const { code, stderr } = await resume(place, "--model.dim=32", "--model.normType=layernorm", "--steps=4");
  assert.equal(code, 2);
  assert.match(stderr, /model.dim can't change, it is 16 in the checkpoint and 32 here/);
  assert.match(
    stderr,
    /model.normType can't change, it is "scalenorm" in the checkpoint and "layernorm" here/,
  );
  assert.equal(stderr.match(/can't change/g)?.length, 2);
  assert.deepEqual(filesIn(place.run("run")), before);
});

Deno.test("--resume with another text is rejected, the same text at another place is not", async () => {
  await using place = await begun();
  const text = await Deno.readTextFile(place.text);
  const moved = `${place.folder}/moved.txt`, other = `${place.folder}/other.txt`;
  await Deno.writeTextFile(moved, text);
  await Deno.writeTextFile(other, text.replace("fox", "cat"));
  const before = filesIn(place.run("run"));
  const rejected = await resume(place, `--data=${other}`, "--steps=3");
  assert.equal(rejected.code, 2);
  assert.match(
    rejected.stderr,
    /data.source: expected the text of the first 2 steps, 20160 bytes with SHA-256 \w+…, found 20160 bytes/,
  );
  assert.deepEqual(filesIn(place.run("run")), before);
  assert.equal((await resume(place, `--data=${moved}`, "--steps=3")).code, 0);
});

Deno.test("--resume with another learning rate and length continues, says so, logs it, and keeps it", async () => {
  await using place = await begun();
  const { code, stderr } = await resume(place, "--optimizer.learningRate=5e-4", "--steps=4");
  assert.equal(code, 0);
  assert.match(stderr, /after step 2 train.steps is 4 instead of 2/);
  assert.match(stderr, /after step 2 optimizer.learningRate is 0.0005 instead of 0.001/);
  const logged = await Deno.readTextFile(`${place.run("run")}/changes.jsonl`);
  assert.deepEqual(JSON.parse(logged), {
    step: 2,
    changes: {
      "train.steps": { from: 2, to: 4 },
      "optimizer.learningRate": { from: 0.001, to: 0.0005 },
    },
  });
  assert.equal((await resume(place, "--steps=5")).code, 0);
  const rates = metricsOf(place.run("run")).steps.map(({ lr }) => lr);
  assert.deepEqual(rates, [0.001, 0.001, 0.0005, 0.0005, 0.0005]);
});

Deno.test("--resume --log.tensorboard writes the steps before it, too, and is kept", async () => {
  await using place = await Workplace.open();
  await train(place.config("run", { train: { steps: 3 }, checkpoint: { every: 2 } }));
  const curve = () =>
    valuesIn(eventFilesIn(`${place.run("run")}/tensorboard`)[0])
      .filter(({ tag }) => tag === "loss/training").map(({ step }) => step);
  assert.equal((await resume(place, "--from-step=2", "--log.tensorboard")).code, 0);
  assert.deepEqual(curve(), [1, 2, 3]);
  const { code, stderr } = await resume(place, "--steps=4");
  assert.equal(code, 0);
  assert.doesNotMatch(stderr, /log\.tensorboard/);
  assert.deepEqual(curve(), [1, 2, 3, 4]);
});

Deno.test("--resume without a change writes no log, and how a start used the machine is not kept", async () => {
  await using place = await begun();
  const config = await Deno.readTextFile(`${place.run("run")}/config.yaml`);
  assert.equal((await resume(place, "--machine.name=elsewhere")).code, 0);
  assert.equal(await Deno.readTextFile(`${place.run("run")}/config.yaml`), config);
  assert.ok(![...Deno.readDirSync(place.run("run"))].some(({ name }) => name === "changes.jsonl"));
  assert.equal((await resume(place, "--steps=3", "--machine.name=elsewhere")).code, 0);
  const { machine, train } = await loadConfig(`${place.run("run")}/config.yaml`) as ReturnType<
    Workplace["config"]
  >;
  assert.notEqual(machine?.name, "elsewhere");
  assert.equal(train?.steps, 3);
});

Deno.test("a schedule has its own length: a run that is resumed to a later end has the rates and bits of one that was not", async () => {
  await using place = await Workplace.open();
  const schedule = { kind: "linear", warmup: 2, steps: 6, floor: 0 } as const;
  const optimizer = { learningRate: 0.01, weightDecay: 0.1, schedule };
  const parts = (steps: number) => ({ ...place.config("parts", { train: { steps } }), optimizer });
  const whole = await train({ ...place.config("whole", { train: { steps: 5 } }), optimizer });
  await train(parts(3));
  assert.equal((await train(parts(5), { resume: true })).paramsHash, whole.paramsHash);
  const rates = metricsOf(place.run("parts")).steps.map(({ lr }) => lr);
  assert.deepEqual(rates, [0.005, 0.01, 0.0075, 0.005, 0.0025]);
});

Deno.test("a schedule is as long as its run's first start, and a run that is resumed beyond it stays at its floor and says so", async () => {
  await using place = await Workplace.open();
  const schedule = { kind: "linear", floor: 0.2 } as const;
  const config = (steps: number) => ({
    ...place.config("run", { train: { steps } }),
    optimizer: { learningRate: 0.01, schedule },
  });
  const scheduled = async () =>
    (await loadConfig(`${place.run("run")}/config.yaml`) as Config).optimizer.schedule;
  const rates = () => metricsOf(place.run("run")).steps.map(({ lr }) => Number(lr.toFixed(9)));
  await train(config(4));
  assert.deepEqual(await scheduled(), { kind: "linear", warmup: 0, floor: 0.2, steps: 4 });
  const lines: string[] = [];
  const onEvent = (event: RunEvent) => event.kind === "status" && lines.push(event.text);
  await train(config(5), { resume: true, onEvent });
  const { code, stderr } = await resume(place, "--steps=6");
  assert.equal(code, 0, stderr);
  assert.equal((await scheduled()).steps, 4);
  assert.deepEqual(rates(), [0.008, 0.006, 0.004, 0.002, 0.002, 0.002]);
  const said = (steps: number) =>
    "the learning rate's schedule ends with step 4: after it the rate is 0.002; " +
    `--optimizer.schedule.steps ${steps} makes it as long as the run`;
  assert.ok(lines.includes(said(5)), lines.join("\n"));
  assert.ok(stderr.includes(said(6)), stderr);
  const longer = await resume(place, "--steps=8", "--optimizer.schedule.steps=8");
  assert.doesNotMatch(longer.stderr, /schedule ends/);
  assert.deepEqual(rates().slice(6), [0.003, 0.002]);
});

Deno.test("an int8 run with a worker that is resumed has the bits of one that was not: residuals were saved", async () => {
  await using place = await Workplace.open();
  const changes = (steps: number) => ({
    train: { steps, batch: 2 },
    dist: { codec: "int8" as const },
    machine: { workers: 1 },
  });
  const whole = await train(place.config("whole", changes(4)));
  await train(place.config("run", changes(2)));
  const { code, stderr } = await start("train", "--resume", place.run("run"), "--steps=4").ended;
  assert.equal(code, 0, stderr);
  const { paramsHash } = JSON.parse(await Deno.readTextFile(`${place.run("run")}/summary.json`));
  assert.equal(paramsHash, whole.paramsHash);
  assert.doesNotMatch(stderr, /residuals/);
  await Deno.remove(`${place.run("run")}/residuals`, { recursive: true });
  const lossy = await start("train", "--resume", place.run("run"), "--steps=5").ended;
  assert.match(lossy.stderr, /residuals of coordinator are dropped: none were saved with step 4/);
  assert.match(lossy.stderr, /-0 drops its residuals: none were saved with step 4/);
});

Deno.test("a run resumed with batches of another size consumes each sample once, and continues where they end", async () => {
  await using place = await Workplace.open();
  const config = (batch: number, steps: number) =>
    place.config("run", { train: { steps, batch }, eval: { every: 0 } });
  await train(config(6, 2));
  await train(config(3, 4), { resume: true });
  await train(config(3, 6), { resume: true });
  const resumed = samplesOf(place.run("run")).flat();
  await train(
    place.config("whole", { train: { steps: 4, batch: 6 }, eval: { every: 0 } }),
  );
  const whole = samplesOf(place.run("whole")).flat();
  assert.deepEqual(resumed, whole, "2 · 6 + 4 · 3 samples are those of 4 · 6");
});

Deno.test("a start that fails before its first step leaves its folder to the next start", async () => {
  await using place = await Workplace.open();
  const config = place.config("run", { train: { steps: 2 } });
  await assert.rejects(
    train(config, { signal: AbortSignal.abort() }).then(() =>
      train({
        ...config,
        machine: { ...config.machine, workers: 1, name: "no name" },
      })
    ),
  );
  assert.equal((await train(config)).steps, 2);
  await assert.rejects(train(config), /holds a run already/);
});

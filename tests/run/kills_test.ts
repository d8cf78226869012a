import assert from "node:assert/strict";
import { checkpointSteps, newestCheckpoint } from "../../src/checkpoint/checkpoint.ts";
import { randomStream } from "../../src/prng.ts";
import { RunFolder } from "../../src/run/folder/run_folder.ts";
import { type Command, start } from "./support/commands.ts";
import {
  descendants,
  metricsOf,
  processes,
  samplesOf,
  until,
  valLossesOf,
  Workplace,
} from "./support/runs.ts";

/** `FLASHMOB_KILLS=60 deno test …` kills as often as issue and lab book say; some seconds each. */
const KILLS = Number(Deno.env.get("FLASHMOB_KILLS") ?? 12);
/** Every this many starts the run has two workers, with launcher, coordinator and NATS server; else it is one process. */
const SHARED_EVERY = 4;
/** Every this many kills fall into a start, before any step; the first of all, too. */
const EARLY_EVERY = 5;

const SETTINGS = [
  ...["--model.dim=16", "--model.depth=2", "--model.groupSize=8", "--model.queryKeyDim=8"],
  ...["--model.attnDropout=0.1", "--data.seqLen=24", "--train.batch=4", "--eval.windows=3"],
  ...[
    "--optimizer.schedule.kind=constant",
    "--eval.every=3",
    "--checkpoint.every=1",
    "--checkpoint.keepLast=2",
    "--dist.hashEvery=2",
  ],
];

/** The steps that a run with `--json` has told of. */
function stepsTold(run: Command): number[] {
  return run.stdout().split("\n").slice(0, -1).map((line) => JSON.parse(line))
    .flatMap((line) => "loss" in line ? [line.step] : []);
}

/** Ends a run at once, with all of its processes. Returns the last step that it told of, 0 where there was none. */
async function killAll(run: Command): Promise<number> {
  const pids = [run.pid, ...descendants(run.pid).map(({ pid }) => pid)];
  for (const pid of pids) {
    try {
      Deno.kill(pid, "SIGKILL");
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error; // it went with its launcher
    }
  }
  await run.ended;
  await until("all processes are gone", () => !processes().some(({ pid }) => pids.includes(pid)));
  return stepsTold(run).at(-1) ?? 0;
}

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

Deno.test(`a run that is killed at ${KILLS} random moments ends with the bits of one that was left alone`, async () => {
  await using place = await Workplace.open();
  const { uniform } = randomStream(3, "kills of a run");
  const folder = place.run("killed");
  const begin = [...SETTINGS, `--data=${place.text}`, `--out=${folder}`];
  const goOn = async (kill: number, steps: number) => {
    const workers = kill % SHARED_EVERY === SHARED_EVERY - 1 ? 2 : 0;
    const from = await RunFolder.at(folder).exists() ? ["--resume", folder] : begin;
    return start("train", ...from, `--workers=${workers}`, `--steps=${steps}`, "--json");
  };

  let newest = 0;
  for (let kill = 0; kill < KILLS; kill++) {
    const run = await goOn(kill, 1_000_000);
    let hasEnded = false;
    run.ended.then(() => hasEnded = true);
    const [when, howMany] = [uniform(2 * kill), uniform(2 * kill + 1)];
    if (kill % EARLY_EVERY === 0) {
      await pause(2000 * when);
    } else {
      const wanted = 2 + Math.floor(3 * howMany);
      await until("it does steps", () => hasEnded || stepsTold(run).length >= wanted, 120);
      await pause(200 * when); // a step with its checkpoint takes about half of that
    }
    assert.ok(!hasEnded, run.stderr());
    const told = await killAll(run);
    const found = await newestCheckpoint(`${folder}/checkpoints`, assert.fail) ?? 0;
    // With workers the next step is computed while a checkpoint is written, in one process it is not.
    const complete = told - (run.stdout().includes('"workers":2') ? 2 : 1);
    const what = `step ${told} was done, the newest checkpoint has ${found}`;
    assert.ok(found >= Math.max(newest, complete), what);
    newest = found;
  }

  const last = await (await goOn(KILLS, newest + 2)).ended;
  assert.equal(last.code, 0, last.stderr);
  const alone = [...begin.with(-1, `--out=${place.run("alone")}`), "--workers=0", `--steps=${newest + 2}`];
  assert.equal((await start("train", ...alone).ended).code, 0);
  const hashOf = (name: string) =>
    JSON.parse(Deno.readTextFileSync(`${place.run(name)}/summary.json`)).paramsHash;
  assert.equal(hashOf("killed"), hashOf("alone"));
  const lossesOf = (name: string) => {
    const { steps } = metricsOf(place.run(name));
    return {
      steps: steps.map(({ step, loss }) => [step, loss]),
      samples: samplesOf(place.run(name)),
      evaluations: valLossesOf(place.run(name)),
    };
  };
  assert.deepEqual(lossesOf("killed"), lossesOf("alone"), "each step once in the metrics");
  assert.ok((await checkpointSteps(`${folder}/checkpoints`)).length <= 3, "two and the best");
});

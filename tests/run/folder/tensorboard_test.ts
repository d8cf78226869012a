import assert from "node:assert/strict";
import { resolveConfig } from "../../../src/config/config.ts";
import type { CommittedStep } from "../../../src/dist/replica/plan.ts";
import { RunLog } from "../../../src/run/folder/log.ts";
import { RunFolder } from "../../../src/run/folder/run_folder.ts";
import { openTensorBoard } from "../../../src/run/folder/tensorboard.ts";
import { eventFilesIn, valuesIn } from "../../tensorboard/read_events.ts";

const committed = (step: number): CommittedStep => ({
  ...{ step, loss: 10 - step, tokens: 100, gradNorm: NaN, applied: false, seconds: 2, bytesSent: 2 ** 20 },
  ...{ bytesReceived: 7, workers: 3, generation: 1, computed: {}, samples: [] },
});

/** A run's folder in which TensorBoard's events are wanted. */
async function openRun() {
  const path = await Deno.makeTempDir({ prefix: "flashmob-test-" });
  const folder = RunFolder.at(path);
  const config = resolveConfig({ log: { tensorboard: true }, model: { dim: 32 }, machine: { out: path } });
  const told: string[] = [];
  const open = () => {
    const tensorBoard = openTensorBoard(folder, config, (text) => told.push(text));
    return new RunLog(
      folder,
      () => 0.1,
      (event) => event.kind === "status" && told.push(event.text),
      tensorBoard,
    );
  };
  return {
    path,
    told,
    open,
    /** Of the only file that has something in it. */
    values: () => {
      const [file, ...others] = eventFilesIn(folder.tensorboard);
      assert.deepEqual(others, []);
      return valuesIn(file);
    },
    [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }),
  };
}

/** Adds steps, of which every other one is evaluated. */
function train(log: RunLog, from: number, to: number): void {
  for (let step = from; step <= to; step++) {
    log.handle({ kind: "step", committed: committed(step) });
    if (step % 2 === 0) log.handle({ kind: "evaluated", step, valLoss: step / 4 });
  }
}

Deno.test("TensorBoard gets the configuration, each step's numbers and each evaluation", async () => {
  await using run = await openRun();
  using log = run.open();
  train(log, 1, 2);
  const values = run.values();
  const configuration = values.find(({ tag }) => tag === "configuration")!;
  assert.match(configuration.value as string, /^ {4}model:\n[^]* {6}dim: 32\n/m);
  const pointsOf = (step: number) =>
    Object.fromEntries(values.filter((value) => value.step === step).map(({ tag, value }) => [tag, value]));
  assert.deepEqual(pointsOf(2), {
    "loss/training": 8,
    "loss/validation": 0.5,
    "optimizer/gradient_norm": NaN,
    "optimizer/learning_rate": Math.fround(0.1),
    "optimizer/applied": 0,
    "step/tokens": 100,
    "step/tokens_per_second": 50,
    "step/bytes_sent": 2 ** 20,
    "step/bytes_received": 7,
    "step/workers": 3,
  });
  assert.deepEqual(run.told, []);
});

const lossesIn = (values: ReturnType<typeof valuesIn>) =>
  values.filter(({ tag }) => tag.startsWith("loss/")).map(({ tag, step, value }) =>
    `${tag} ${step}: ${value}`
  );

Deno.test("a resume continues the curves without the steps that are done again, after a torn record, too", async () => {
  await using run = await openRun();
  {
    using log = run.open();
    train(log, 1, 5);
  }
  const [file] = eventFilesIn(`${run.path}/tensorboard`);
  Deno.truncateSync(file, Deno.statSync(file).size - 9);
  RunFolder.at(run.path).resumeFrom(3);
  const wanted = ["loss/training 1: 9", "loss/training 2: 8", "loss/validation 2: 0.5", "loss/training 3: 7"];
  using log = run.open();
  assert.deepEqual(lossesIn(run.values()), wanted);
  train(log, 4, 4);
  assert.deepEqual(lossesIn(run.values()), [...wanted, "loss/training 4: 6", "loss/validation 4: 1"]);
  log.continueFrom(3); // failover
  assert.deepEqual(lossesIn(run.values()), wanted);
  const times = run.values().filter(({ tag }) => tag === "loss/training").map(({ time }) => time);
  assert.deepEqual(times, times.toSorted((a, b) => a - b));
});

Deno.test("TensorBoard gets samples as text, and those that still count again at a resume", async () => {
  await using run = await openRun();
  const sample = (step: number) =>
    ({ event: "sample", step, member: "a", prompt: "The\n<b>", text: `people ${step}` }) as const;
  const samples = () => run.values().filter(({ tag }) => tag.startsWith("samples/"));
  const first = { tag: "samples/The\\u000a<b>", step: 2, value: "    The\n    <b>people 2" };
  {
    using log = run.open();
    train(log, 1, 4);
    log.record(sample(2));
    log.record(sample(4));
    const [{ time, ...found }, { time: later, step }] = samples();
    assert.deepEqual([found, step], [first, 4]);
    assert.ok(time <= later && Math.abs(later - Date.now() / 1000) < 60);
  }
  RunFolder.at(run.path).resumeFrom(3);
  using _log = run.open();
  assert.deepEqual(samples().map(({ time: _, ...found }) => found), [first]);
});

Deno.test("a run goes on without TensorBoard's events where they can't be written, and says so once", async () => {
  await using run = await openRun();
  Deno.writeTextFileSync(`${run.path}/tensorboard`, "a file where the folder should be");
  using log = run.open();
  train(log, 1, 3);
  assert.equal(RunFolder.at(run.path).record().lastStep, 3);
  assert.equal(run.told.length, 1);
  assert.match(
    run.told[0],
    /tensorboard can't be written, and the run continues without it: .*The next start/,
  );
});

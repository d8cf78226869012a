/**
 * `deno task soak [--minutes N] [--seed N]`: runs real replicas through trouble, one run after the other, until the time is
 * over. Each must end with the bits of an undisturbed run, and nobody's memory may grow.
 *
 * @module
 */

import assert from "node:assert/strict";
import { type ConfigInput, train } from "../../mod.ts";
import { type Command, HELP_FLAG, wholeFrom } from "../../src/cli/arguments.ts";
import { keepNatsServer, type NatsServer } from "../../src/dist/nats/server.ts";
import { randomStream } from "../../src/prng.ts";
import type { Summary } from "../../src/run/folder/summary.ts";
import { trainThroughAbsence } from "../dist/support/absence.ts";
import { Growth } from "../dist/support/growth.ts";
import { Trouble } from "../dist/support/trouble.ts";
import { runFlash } from "../run/support/flash_runs.ts";
import { metricsOf, recordOf, Workplace } from "../run/support/runs.ts";
import { scriptArguments } from "../support/script.ts";
import { endedRun } from "./ended.ts";
import { launchedRun } from "./launched.ts";

const MINUTES = { wanted: "a number of at least 0", holds: (value: number) => value >= 0 };

/** What it takes. */
export const SOAK: Command = {
  usage: [["deno task soak [options]", "trouble for runs of real processes"]],
  positional: [],
  short: {},
  flags: [
    { name: "minutes", value: "N", text: "How long. Default 20.", number: MINUTES },
    {
      name: "seed",
      value: "N",
      text: "Decides what happens. Default: another one each time.",
      number: wholeFrom(0),
    },
    HELP_FLAG,
  ],
};

/** Steps of a run, and the probability of trouble after each. */
const STEPS = 600;
const RATE = 0.05;
const MOST_WORKERS = 4;
/** Seconds for which the NATS server is away. */
const ABSENCE = { least: 60, most: 180 };
/** Bytes that a process may grow by; for these a worker could keep 2,500 gradients of the model, four for each step. */
const SLACK = 120e6;

const configOf = (place: Workplace, name: string, machine: ConfigInput["machine"] = {}) =>
  place.config(name, {
    train: { steps: STEPS, batch: 8 },
    eval: { every: 100 },
    checkpoint: { every: 100 },
    dist: { heartbeatSeconds: 0.5, patienceSeconds: 3, silenceSeconds: 30, hashEvery: 50 },
    machine: { run: name, ...machine },
  });

/** Whose bits a run must have, and what it suffers. */
interface Disturbance {
  seed: number;
  paramsHash: string;
  signal: AbortSignal;
}

/** One run with trouble; what happened in it, in words. */
async function disturbedRun(
  place: Workplace,
  server: NatsServer,
  { seed, paramsHash, signal }: Disturbance,
): Promise<string> {
  const name = `run-${seed}`;
  const trouble = new Trouble(seed, RATE, MOST_WORKERS);
  const growth = new Growth();
  const { summary } = await runFlash(
    server.url,
    configOf(place, name),
    [{ member: "w0" }, { member: "w1" }],
    (event, workers, start) => {
      if (event.kind !== "step") return;
      const { step } = event.metrics;
      if (step % 20 === 0) {
        growth.look([Deno.pid, ...[...workers.values()].map(({ process }) => process.pid)]);
        progress(`seed ${seed}: step ${step} of ${STEPS}, ${event.metrics.workers} members`);
      }
      trouble.afterStep(recordOf(place.run(name)).at(-1)!, { workers, start: (member) => start({ member }) });
    },
    signal,
  );
  await trouble.over();
  if (summary.interrupted) return `interrupted after step ${summary.steps}`;
  await assertSame(place, name, summary, paramsHash);
  assert.ok(growth.most < SLACK, `${name}: a process grew by ${megabytes(growth.most)}:\n${growth}`);
  return `same bits in ${Math.round(summary.seconds)} s; ${happened(trouble.counts)}; grew by ${
    megabytes(growth.most)
  } at most`;
}

/** One launched run with trouble, the coordinator's too; what happened in it, in words. */
async function disturbedLaunch(place: Workplace, { seed, paramsHash, signal }: Disturbance): Promise<string> {
  const name = `launch-${seed}`;
  const config = configOf(place, name, { workers: 3, name: "here" });
  const { summary, counts } = await launchedRun(config, seed, signal);
  if (summary.interrupted) return `interrupted after step ${summary.steps}`;
  await assertSame(place, name, summary, paramsHash);
  return `launched: same bits in ${Math.round(summary.seconds)} s; ${happened(counts)}`;
}

/** One launched run that is ended in all ways and resumed each time; how often, in words. */
async function runThatEnds(place: Workplace, { seed, paramsHash, signal }: Disturbance): Promise<string> {
  const name = `ended-${seed}`;
  const config = configOf(place, name, { workers: 3, name: "here" });
  const { summary, counts } = await endedRun(config, seed, signal);
  if (summary.interrupted) return `interrupted after step ${summary.steps}`;
  await assertSame(place, name, summary, paramsHash);
  return `ended and resumed: same bits; ${happened(counts)}`;
}

/** Each step is on record once, and the parameters are those of an undisturbed run. */
async function assertSame(
  place: Workplace,
  name: string,
  summary: Summary,
  paramsHash: string,
): Promise<void> {
  assert.equal(summary.paramsHash, paramsHash, `${name}: other parameters`);
  const { steps } = metricsOf(place.run(name));
  assert.deepEqual(steps.map(({ step }) => step), Array.from({ length: STEPS }, (_, i) => i + 1));
  await Deno.remove(place.run(name), { recursive: true });
}

const happened = (counts: Record<string, number>) =>
  Object.entries(counts).map(([kind, count]) => `${kind} ${count}`).join(", ");

/** One run whose NATS server ends, or is frozen, for minutes; what that cost, in words. */
async function runWithoutServer(seed: number): Promise<string> {
  const draw = randomStream(seed, "absence").uniform;
  const absence = draw(0) < 0.5 ? "ended" : "frozen";
  const seconds = Math.round(ABSENCE.least + (ABSENCE.most - ABSENCE.least) * draw(1));
  progress(`seed ${seed}: the NATS server is ${absence} for ${seconds} s`);
  const { isExact, lost, growth } = await trainThroughAbsence(absence, seconds);
  assert.ok(isExact, "other parameters");
  if (absence === "ended") assert.deepEqual(lost, []); // a frozen one can't be told from frozen workers
  assert.ok(Math.max(...growth) < SLACK, `grew by ${growth}`);
  return `NATS server ${absence} for ${seconds} s: same bits; grew by ${growth.map(megabytes).join(", ")}`;
}

const megabytes = (bytes: number) => `${Math.round(bytes / 1e6)} MB`;

function say(line: string): void {
  console.log(Deno.stdout.isTerminal() ? `\r\x1b[K${line}` : line);
}

/** One redrawn line, on a terminal only. */
function progress(line: string): void {
  if (Deno.stdout.isTerminal()) Deno.stdout.writeSync(new TextEncoder().encode(`\r\x1b[K${line}`));
}

if (import.meta.main) {
  const { minutes = 20, seed = Date.now() % 1_000_000 } = scriptArguments(SOAK).numbers;
  const stop = new AbortController();
  Deno.addSignalListener("SIGINT", () => stop.abort());
  const end = performance.now() + 60_000 * minutes;
  say(`soak for ${minutes} minutes, seed ${seed}: deno task soak --minutes ${minutes} --seed ${seed}`);
  await using place = await Workplace.open();
  const { paramsHash } = await train({ ...configOf(place, "calm") });
  say(`undisturbed, without workers: ${paramsHash}`);
  await using server = await keepNatsServer(
    {},
    (words) => say(`the NATS server has ended: ${words.split("\n").at(-1)}`),
  );
  let runs = 0;
  const signal = stop.signal;
  while (performance.now() < end && !signal.aborted) {
    const disturbance = { seed: seed + runs, paramsHash, signal };
    const kinds = [
      () => disturbedRun(place, server, disturbance),
      () => disturbedLaunch(place, disturbance),
      () => runThatEnds(place, disturbance),
      () => runWithoutServer(disturbance.seed),
    ];
    const words = await kinds[runs % kinds.length]();
    say(`seed ${seed + runs++}: ${words}`);
  }
  say(`${runs} runs; nothing was lost`);
  Deno.exitCode = signal.aborted ? 130 : 0;
}

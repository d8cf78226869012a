/**
 * A NATS server that goes away for a while, and what that costs the others in memory.
 *
 * @module
 */

import { setTimeout as pause } from "node:timers/promises";
import { startNatsServer } from "../../../src/dist/nats/server.ts";
import { runSingle } from "../../../src/dist/single.ts";
import { descendants } from "../../run/support/runs.ts";
import { runProcesses } from "./run_processes.ts";
import { toyPlan, ToyReplica } from "./toy.ts";

/** Its process has ended, or is frozen: then connections stay open and nothing comes out of them. */
export type Absence = "ended" | "frozen";

/** What was seen. */
export interface AbsenceReport {
  /** Whether the run ended with the bits of a single process. */
  isExact: boolean;
  /** Members that were lost, with the reason. */
  lost: string[];
  /** By how much resident memory grew at most meanwhile, in bytes, of the coordinator (this process) and of each worker. */
  growth: number[];
  /** Steps that were committed when it was back. */
  stepsAfter: number;
}

/** 24 MB per vector: two are what a worker holds anyway when it has computed its sums, one the mean. */
const SIZE = 6_000_000;
const STEPS = 4;
/** Silence that is borne while there is a connection; a server that has ended may be away for longer. */
const SILENCE_SECONDS = 5;
/** The server goes away in the middle of the step after this one, by that one's time: sums or means travel, as a rule. */
const CALM_STEPS = 2;

/** Trains toys in processes of their own while the server is away for so many seconds in mid-step. */
export async function trainThroughAbsence(absence: Absence, seconds: number): Promise<AbsenceReport> {
  const plan = toyPlan({
    steps: STEPS,
    startWorkers: 2,
    microBatches: 4,
    heartbeatSeconds: 0.5,
    silenceSeconds: absence === "ended" ? SILENCE_SECONDS : 2 * seconds + 30,
    evaluation: { every: 0, microBatches: 0 },
  });
  const expected = await runSingle(new ToyReplica({ size: SIZE }), plan);
  const first = await startNatsServer();
  const { password } = new URL(first.url);
  await using servers = new AsyncDisposableStack();
  servers.use(first);
  let watched: ReturnType<typeof watchMemory> | undefined;
  let stepsAfter = 0, isBack = false;
  const goAway = async (stepSeconds: number) => {
    await pause(1000 * stepSeconds / 2);
    watched = watchMemory();
    const { pid } = descendants(Deno.pid).find(({ command }) => /^\S*nats-server /.test(command))!;
    if (absence === "ended") await first[Symbol.asyncDispose]();
    else Deno.kill(pid, "SIGSTOP");
    await pause(1000 * seconds);
    watched.stop();
    isBack = true;
    if (absence === "ended") servers.use(await startNatsServer({ listen: first.address, password }));
    else Deno.kill(pid, "SIGCONT");
  };
  const lost: string[] = [];
  let absent: Promise<void> | undefined;
  const members = ["worker-0", "worker-1"].map((member) => ({ member, size: SIZE }));
  const outcome = await runProcesses({ url: first.url }, plan, members, (event) => {
    if (event.kind === "left" && event.error) lost.push(`${event.member}: ${event.error}`);
    if (event.kind !== "step") return;
    if (event.committed.step === CALM_STEPS) absent = goAway(event.committed.seconds);
    if (isBack) stepsAfter++;
  });
  await absent;
  return {
    isExact: outcome.paramsHash === expected.paramsHash,
    lost,
    growth: watched!.growth(),
    stepsAfter,
  };
}

/** Follows the memory of this process and of the toys that it has started. */
function watchMemory(): { growth(): number[]; stop(): void } {
  const residents = () => {
    const toys = descendants(Deno.pid).filter(({ command }) => command.includes("toy_worker.ts"));
    return [Deno.memoryUsage().rss, ...toys.map(({ resident }) => resident)];
  };
  const before = residents();
  const most = [...before];
  const look = () => residents().forEach((resident, i) => most[i] = Math.max(most[i], resident));
  const timer = setInterval(look, 200);
  return { growth: () => most.map((resident, i) => resident - before[i]), stop: () => clearInterval(timer) };
}

/**
 * Trouble for a launched run, drawn from a seed: its coordinator, its workers and its NATS server are killed and frozen. The
 * launcher has to bring all of them back.
 *
 * @module
 */

import { setTimeout as pause } from "node:timers/promises";
import { type ConfigInput, resolveConfig, stringifyConfig } from "../../src/config/config.ts";
import { randomStream } from "../../src/prng.ts";
import type { Summary } from "../../src/run/folder/summary.ts";
import { start } from "../run/support/commands.ts";
import { descendants, metricsOf } from "../run/support/runs.ts";

/** Seconds between two troubles, and for which a process is frozen. */
const PEACE = { least: 1, most: 5 };
const FROZEN = { least: 1, most: 5 };
/** How often one process is killed: the launcher gives one up that crashes too often in a row. */
const MOST_KILLS = 2;

/** A process of a launch: a worker, the coordinator, or the server. */
interface Victim {
  name: string;
  pid: number;
}

/** How it went. */
export interface LaunchedRun {
  summary: Summary;
  /** "kill coordinator", "freeze here-1": how often. */
  counts: Record<string, number>;
}

/**
 * Trains a configuration with `deno task train`, in trouble, until its end.
 *
 * @throws where the command fails, with what it said
 */
export async function launchedRun(
  input: ConfigInput,
  seed: number,
  signal: AbortSignal,
): Promise<LaunchedRun> {
  const config = resolveConfig(input);
  const { out } = config.machine;
  const path = `${out}.yaml`;
  await Deno.writeTextFile(path, stringifyConfig(config));
  const run = start("train", path);
  signal.addEventListener("abort", () => run.kill("SIGINT"));
  let hasEnded = false;
  run.ended.finally(() => hasEnded = true).catch(() => {}); // awaited below
  const { uniform } = randomStream(seed, "launched trouble");
  let drawn = 0;
  const between = ({ least, most }: typeof PEACE) => least + (most - least) * uniform(drawn++);
  const counts: Record<string, number> = {};
  while (!hasEnded) {
    await Promise.race([pause(1000 * between(PEACE)), run.ended.catch(() => {})]);
    const victims = hasBegun(out) && !hasEnded ? victimsOf(run.pid) : [];
    const victim = victims[Math.floor(victims.length * uniform(drawn++))];
    if (!victim) continue;
    const isKilled = uniform(drawn++) < 0.6 && (counts[`kill ${victim.name}`] ?? 0) < MOST_KILLS;
    const what = `${isKilled ? "kill" : "freeze"} ${victim.name}`;
    counts[what] = (counts[what] ?? 0) + 1;
    if (isKilled) strike(victim, "SIGKILL");
    else {
      strike(victim, "SIGSTOP");
      await pause(1000 * between(FROZEN));
      strike(victim, "SIGCONT");
    }
  }
  const { code, stderr } = await run.ended;
  if (code !== 0 && !signal.aborted) {
    throw new Error(`it ended with ${code} after ${JSON.stringify(counts)}:\n${stderr}`);
  }
  return { summary: JSON.parse(await Deno.readTextFile(`${out}/summary.json`)), counts };
}

/** Before its first step a run that loses a process ends. */
function hasBegun(folder: string): boolean {
  try {
    return metricsOf(folder).steps.length > 0;
  } catch {
    return false; // not there yet, or half a line
  }
}

function victimsOf(launcher: number): Victim[] {
  return descendants(launcher).flatMap(({ pid, command }) => {
    const name = /^\S*nats-server /.test(command) ? "server" : /child\.ts (\S+)$/.exec(command)?.[1];
    return name ? [{ name, pid }] : [];
  });
}

function strike({ pid }: Victim, signal: Deno.Signal): void {
  try {
    Deno.kill(pid, signal);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error; // it has ended meanwhile
  }
}

/**
 * Ends for a launched run, drawn from a seed: all of its processes or some are told to end, its terminal goes, its output is closed,
 * somebody starts it a second time. It is resumed after each, and nothing may have been lost.
 *
 * @module
 */

import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import { newestCheckpoint } from "../../src/checkpoint/checkpoint.ts";
import { type ConfigInput, resolveConfig, stringifyConfig } from "../../src/config/config.ts";
import { randomStream } from "../../src/prng.ts";
import type { Summary } from "../../src/run/folder/summary.ts";
import { type Command, start, startInShell } from "../run/support/commands.ts";
import { descendants, metricsOf, until } from "../run/support/runs.ts";

/** How a run can be ended. */
export const WAYS = [
  "all TERM",
  "some TERM",
  "all HUP",
  "launcher INT",
  "two starts",
  "closed output",
] as const;
export type Way = typeof WAYS[number];

/** Steps that a start makes at least before it is ended. */
const LEAST_STEPS = 3;

/** How it went. */
export interface EndedRun {
  summary: Summary;
  /** How often each way was taken. */
  counts: Record<string, number>;
}

/**
 * Trains a configuration, ended again and again, until its last step.
 *
 * @param ways in which order it is ended; by default drawn from the seed until the run is over
 * @throws {assert.AssertionError} where something was lost
 */
export async function endedRun(
  input: ConfigInput,
  seed: number,
  signal: AbortSignal,
  ways?: readonly Way[],
): Promise<EndedRun> {
  const config = resolveConfig(input);
  const { out } = config.machine;
  const path = `${out}.yaml`;
  await Deno.writeTextFile(path, stringifyConfig(config));
  const { uniform } = randomStream(seed, "ends");
  let drawn = 0;
  const draw = () => uniform(drawn++);
  const counts: Record<string, number> = {};
  for (let i = 0; !signal.aborted; i++) {
    const way = ways ? ways[i] : WAYS[Math.floor(WAYS.length * draw())];
    const args = i === 0 ? [path] : ["--resume", out];
    const run = way === "closed output"
      ? startInShell('"$@" --json | head -n 4 >/dev/null; exit ${PIPESTATUS[0]}', "train", ...args)
      : start("train", ...args);
    const hasEnded = await endsBefore(run, stepsIn(out) + LEAST_STEPS, out);
    if (!hasEnded && way !== undefined) {
      counts[way] = (counts[way] ?? 0) + 1;
      await pause(300 * draw());
      await end(run, way, out, draw);
    }
    const { code, stderr } = await run.ended;
    assert.ok([0, 1, 130, 141].includes(code), `${way}: ended with ${code}:\n${stderr}`);
    const last = stepsIn(out);
    const saved = await newestCheckpoint(`${out}/checkpoints`, assert.fail);
    assert.equal(saved, last, `${way}: step ${last} is on record, and ${saved} is saved:\n${stderr}`);
    if (last === config.train.steps) break;
  }
  return { summary: JSON.parse(await Deno.readTextFile(`${out}/summary.json`)), counts };
}

/** Waits for a step; whether the run has ended before. */
async function endsBefore(run: Command, step: number, folder: string): Promise<boolean> {
  let hasEnded = false;
  run.ended.finally(() => hasEnded = true).catch(() => {}); // awaited by the caller
  await until(`step ${step}`, () => hasEnded || stepsIn(folder) >= step, 120);
  return hasEnded;
}

async function end(run: Command, way: Way, folder: string, draw: () => number): Promise<void> {
  const all = [run.pid, ...descendants(run.pid).map(({ pid }) => pid)];
  switch (way) {
    case "all TERM":
      return tell("TERM", all);
    case "all HUP":
      return tell("HUP", all);
    case "some TERM":
      tell("TERM", all.filter(() => draw() < 0.5));
      await Promise.race([pause(3000), run.ended]);
      return tell("TERM", [run.pid]);
    case "two starts": {
      const { code, stderr } = await start("train", "--resume", folder).ended;
      const hasEnded = await Promise.race([run.ended.then(() => true), pause(0, false)]);
      if (hasEnded && code === 0) return; // the first one had ended by itself before
      assert.equal(code, 2, stderr);
      assert.match(stderr, /is using this run's folder/);
      return tell("TERM", [run.pid]);
    }
    case "launcher INT":
      return tell("INT", [run.pid]);
    case "closed output":
  }
}

/** Sends a signal to processes, of which some may be gone. */
function tell(signal: string, pids: readonly number[]): void {
  new Deno.Command("kill", { args: [`-${signal}`, ...pids.map(String)], stderr: "null" }).outputSync();
}

function stepsIn(folder: string): number {
  try {
    return metricsOf(folder).steps.length;
  } catch {
    return 0; // not there yet
  }
}

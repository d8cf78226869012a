/**
 * A run whose workers are killed at random moments and replaced, while all share memory.
 *
 *     deno run -A tests/dist/support/random_kills.ts '{"kills": 200, "size": 300000, "seed": 1}'
 *
 * @module
 */

import assert from "node:assert/strict";
import { startNatsServer } from "../../../src/dist/nats/server.ts";
import { runSingle } from "../../../src/dist/single.ts";
import { randomStream } from "../../../src/prng.ts";
import { runProcesses } from "./run_processes.ts";
import { toyPlan, ToyReplica } from "./toy.ts";

/** What is done to it. */
interface Killing {
  kills: number;
  /** Values of a vector. */
  size: number;
  seed: number;
}

const WORKERS = 3;
/** Milliseconds before each gradient. */
const PAUSE = 3;

/** Segments that this process has open, its own and others'. */
function segments(): number {
  const { stdout } = new Deno.Command("cat", { args: [`/proc/${Deno.pid}/maps`] }).outputSync();
  return new TextDecoder().decode(stdout).split("\n").filter((line) => line.includes("memfd:flashmob"))
    .length;
}

/**
 * Fails unless the run ends with a single process's bits, no process but those that were killed died, and no memory is left.
 *
 * @returns how many were killed
 */
async function randomKills({ kills, size, seed }: Killing): Promise<number> {
  const { uniform, word } = randomStream(seed, "kills");
  const steps = 10 + 6 * kills;
  const plan = toyPlan({
    steps,
    startWorkers: WORKERS,
    evaluation: { every: 0, microBatches: 0 },
    heartbeatSeconds: 0.2,
    patienceSeconds: 1,
    silenceSeconds: 5,
  });
  const expected = await runSingle(new ToyReplica({ size }), plan);
  await using server = await startNatsServer();
  const killed = new Set<string>(), died: string[] = [];
  let most = 0, isDue = false;
  const order = (i: number) => ({ member: `w${i}`, size, pause: PAUSE });
  const outcome = await runProcesses(
    server,
    plan,
    Array.from({ length: WORKERS }, (_, i) => order(i)),
    (event, workers, start) => {
      if (event.kind === "joined") {
        workers.get(event.member)!.status.then(({ signal }) => {
          if (signal !== null && !killed.has(event.member)) died.push(`${event.member}: ${signal}`);
        });
      }
      most = Math.max(most, segments());
      if (event.kind === "joined" && event.members === WORKERS) isDue = true;
      if (event.kind !== "step" || !isDue || killed.size === kills) return;
      isDue = false;
      const victims = [...workers.keys()].filter((member) => !killed.has(member));
      const victim = victims[word(2 * killed.size) % victims.length];
      const delay = 40 * uniform(2 * killed.size + 1); // anywhere in the next steps
      setTimeout(() => {
        workers.get(victim)!.kill("SIGKILL");
        start(order(WORKERS - 1 + killed.size));
      }, delay);
      killed.add(victim);
    },
  );
  assert.equal(outcome.paramsHash, expected.paramsHash);
  assert.deepEqual(died, []);
  assert.ok(most <= 2 * WORKERS + 2, `${most} segments were open at once`);
  assert.equal(segments(), 0);
  return killed.size;
}

if (import.meta.main) {
  console.log(`${await randomKills(JSON.parse(Deno.args[0]))} were killed, and all is as it should be`);
}

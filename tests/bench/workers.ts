/**
 * Worker processes of the benchmarks, and what both make of what they measure.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import type { BenchOrder } from "./averaging_worker.ts";

/** Starts a worker process. */
export function startBenchWorker(order: BenchOrder): Deno.ChildProcess {
  const script = fileURLToPath(new URL("./averaging_worker.ts", import.meta.url));
  const args = ["run", "--quiet", "--no-check", "-A", script, JSON.stringify(order)];
  return new Deno.Command(Deno.execPath(), { args, stdin: "null", stdout: "null", stderr: "inherit" })
    .spawn();
}

/** The upper median. */
export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1];
}

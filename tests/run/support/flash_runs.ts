/**
 * Runs real replicas: a coordinator in this process, workers in processes of their own that may have faults.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import { linesOf } from "../../../src/run/processes/child.ts";
import type { ConfigInput } from "../../../src/config/config.ts";
import { resolveConfig } from "../../../src/config/config.ts";
import { startCoordinator } from "../../../src/run/participants/coordinator.ts";
import type { RunEvent } from "../../../src/run/folder/log.ts";
import type { Summary } from "../../../src/run/folder/summary.ts";
import { bounded } from "../../dist/support/bounded.ts";
import { killAll } from "../../dist/support/run_processes.ts";
import type { Computed, FlashOrder } from "./flash_worker.ts";

/** A worker process. */
export interface FlashWorker {
  readonly process: Deno.ChildProcess;
  /** Every micro-batch that it has computed so far. */
  readonly computed: readonly Computed[];
  /** Settles when it has ended and all its lines were read. */
  readonly ended: Promise<void>;
}

/** How a worker differs from the others of its run. */
export type WorkerChanges = Pick<FlashOrder, "member" | "backend" | "fault">;

/** A run with its workers. */
export interface FlashRun {
  summary: Summary;
  /** Lines for people. */
  lines: string[];
  workers: ReadonlyMap<string, FlashWorker>;
}

/**
 * Runs a configuration with these workers until its end; waits until they have ended. Where it fails, or hangs, they are killed.
 *
 * @param onEvent gets what happens, with the workers that were started, by name, and a way to start more
 * @param signal ends the run
 */
export async function runFlash(
  url: string,
  input: ConfigInput,
  members: readonly WorkerChanges[],
  onEvent: (
    event: RunEvent,
    workers: ReadonlyMap<string, FlashWorker>,
    start: (changes: WorkerChanges) => void,
  ) => void = () => {},
  signal?: AbortSignal,
): Promise<FlashRun> {
  const config = resolveConfig(input);
  const { run, out: folder } = config.machine;
  const all: FlashWorker[] = [];
  const workers = new Map<string, FlashWorker>();
  const start = (changes: WorkerChanges) => {
    const worker = startFlashWorker({ url, run, folder, ...changes });
    all.push(worker);
    workers.set(changes.member, worker);
  };
  const lines: string[] = [];
  const work = async () => {
    const summary = await startCoordinator(config, {
      url,
      startWorkers: members.length,
      signal,
      onListening: () => members.forEach(start),
      onEvent: (event) => {
        const text = event.kind === "status" || event.kind === "happened" ? event.text : undefined;
        if (text !== undefined) lines.push(text);
        onEvent(event, workers, start);
      },
    });
    await Promise.all(all.map(({ ended }) => ended));
    return { summary, lines, workers };
  };
  try {
    return await bounded("the end of coordinator and workers", work(), () => lines);
  } catch (error) {
    await killAll(all.map(({ process }) => process));
    throw error;
  }
}

function startFlashWorker(order: FlashOrder): FlashWorker {
  const script = fileURLToPath(new URL("./flash_worker.ts", import.meta.url));
  const settings = fileURLToPath(new URL("../../../deno.json", import.meta.url));
  const process = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--config", settings, "-A", script, JSON.stringify(order)],
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const computed: Computed[] = [];
  const listen = async () => {
    for await (const line of linesOf(process.stdout)) computed.push(JSON.parse(line));
  };
  return { process, computed, ended: Promise.all([process.status, listen()]).then(() => {}) };
}

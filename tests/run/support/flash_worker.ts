/**
 * A worker process with a real replica that may have a fault: `flash_worker.ts '{"url": …, "run": …, "member": …}'`. It tells
 * each micro-batch that it computes, a line of JSON each.
 *
 * @module
 */

import type { RunConfig } from "../../../src/config/config.ts";
import { fetchRun } from "../../../src/dist/worker/join.ts";
import { connectNats } from "../../../src/dist/nats/transport.ts";
import { runWorker } from "../../../src/dist/worker.ts";
import { RunError } from "../../../src/errors.ts";
import { openReplica } from "../../../src/run/replica/open_replica.ts";
import type { WorkerOptions } from "../../../src/run/participants/worker.ts";
import { type Fault, suffer } from "../../dist/support/fault.ts";

/** What the process is told. */
export interface FlashOrder extends Pick<WorkerOptions, "url" | "run" | "member" | "backend"> {
  folder: string;
  fault?: Fault;
}

/** What was computed: not only what counted. */
export interface Computed {
  step: number;
  microBatch: number;
}

if (import.meta.main) {
  const { url, run, member, folder, backend, fault }: FlashOrder = JSON.parse(Deno.args[0]);
  const stop = new AbortController();
  Deno.addSignalListener("SIGTERM", () => stop.abort());
  Deno.addSignalListener("SIGINT", () => {}); // Ctrl-C is for who started the run
  const transport = await connectNats(url, member);
  const { config, configHash, id, origin } = await fetchRun(transport, run, member);
  const replica = await openReplica({ id, config: config as RunConfig, origin }, { folder, backend, member });
  const compute = replica.gradient.bind(replica);
  replica.gradient = (step, microBatch) => {
    const line = JSON.stringify({ step, microBatch } satisfies Computed) + "\n";
    Deno.stdout.writeSync(new TextEncoder().encode(line));
    return compute(step, microBatch);
  };
  const { signal } = stop;
  const options = { run, id, member, configHash, atHome: true, signal, onFaultPoint: suffer(fault) };
  try {
    await runWorker(transport, replica, options);
  } catch (error) {
    if (!(error instanceof RunError)) throw error;
    Deno.exitCode = 1;
  }
  await transport.close();
  Deno.exit();
}

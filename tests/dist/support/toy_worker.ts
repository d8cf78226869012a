/**
 * A worker process with a toy replica: `toy_worker.ts '{"url": …, "run": …, "member": …, "size": …}'`.
 *
 * @module
 */

import { fetchRun } from "../../../src/dist/worker/join.ts";
import { connectNats } from "../../../src/dist/nats/transport.ts";
import { runWorker } from "../../../src/dist/worker.ts";
import { RunError } from "../../../src/errors.ts";
import { averagingToy } from "./average_toys.ts";
import { type Fault, suffer } from "./fault.ts";
import { type ToyOptions, ToyReplica } from "./toy.ts";

/** What the process is told. */
export interface ToyOrder {
  url: string;
  run: string;
  member: string;
  size: number;
  /** Milliseconds before each gradient. */
  pause?: number;
  /** Blocks the event loop for so many seconds, soon after this step's last gradient. */
  block?: { step: number; seconds: number };
  fault?: Fault;
  /** Whether it takes local steps, in a run that averages parameters. */
  averages?: boolean;
  /** False: its sums travel also to processes of this machine. */
  sharesMemory?: boolean;
  /** Whether it is started in a PID namespace of its own. */
  isApart?: boolean;
}

function blockEventLoop(seconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, seconds * 1000);
}

if (import.meta.main) {
  const order: ToyOrder = JSON.parse(Deno.args[0]);
  const { url, run, member, size, pause = 0, block, fault, averages, sharesMemory } = order;
  const stop = new AbortController();
  Deno.addSignalListener("SIGTERM", () => stop.abort());
  const options: ToyOptions = {
    size,
    beforeGradient: async (step) => {
      if (pause > 0) await new Promise((resolve) => setTimeout(resolve, pause));
      if (step === block?.step) setTimeout(() => blockEventLoop(block.seconds), 100);
    },
  };
  const replica = averages ? averagingToy(options) : new ToyReplica(options);
  const transport = await connectNats(url, member);
  const { configHash, id } = await fetchRun(transport, run, member);
  try {
    const { signal } = stop;
    const onFaultPoint = suffer(fault);
    const served = { run, id, member, configHash, atHome: true, sharesMemory, signal, onFaultPoint };
    await runWorker(transport, replica, served);
  } catch (error) {
    if (!(error instanceof RunError)) throw error;
    Deno.exitCode = 1;
  }
  await transport.close();
  Deno.exit();
}

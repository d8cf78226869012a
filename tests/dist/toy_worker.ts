/**
 * A worker process with a toy replica: `toy_worker.ts '{"url": …, "run": …, "member": …, "size": …}'`.
 *
 * @module
 */

import { fetchRun } from "../../src/dist/joining.ts";
import { connectNats } from "../../src/dist/nats_transport.ts";
import { runWorker } from "../../src/dist/worker.ts";
import { RunError } from "../../src/errors.ts";
import { ToyReplica } from "./toy.ts";

/** What the process is told. */
export interface ToyOrder {
  url: string;
  run: string;
  member: string;
  size: number;
  /** Blocks the event loop for so many seconds, soon after this step's last gradient. */
  block?: { step: number; seconds: number };
}

function blockEventLoop(seconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, seconds * 1000);
}

if (import.meta.main) {
  const { url, run, member, size, block }: ToyOrder = JSON.parse(Deno.args[0]);
  const replica = new ToyReplica({
    size,
    beforeGradient: (step) => {
      if (step === block?.step) setTimeout(() => blockEventLoop(block.seconds), 100);
    },
  });
  const transport = await connectNats(url, member);
  const { configHash } = await fetchRun(transport, run, member);
  try {
    await runWorker(transport, replica, { run, member, configHash, atHome: true });
  } catch (error) {
    if (!(error instanceof RunError)) throw error;
    Deno.exitCode = 1;
  }
  await transport.close();
}

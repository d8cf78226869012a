/**
 * A worker process with a toy replica: `toy_worker.ts '{"url": …, "run": …, "member": …, "size": …}'`.
 *
 * @module
 */

import type { FaultPoint } from "../../src/dist/fault_points.ts";
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
  /** Milliseconds before each gradient. */
  pause?: number;
  /** Blocks the event loop for so many seconds, soon after this step's last gradient. */
  block?: { step: number; seconds: number };
  /** What happens to this process when it first comes to a fault point of this step or a later one. */
  fault?: { point: FaultPoint; step: number; way: WayToDie };
}

/** The ways in which a worker can be lost. */
export type WayToDie = "exception" | "SIGTERM" | "SIGKILL" | "SIGSTOP";

function blockEventLoop(seconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, seconds * 1000);
}

if (import.meta.main) {
  const { url, run, member, size, pause = 0, block, fault }: ToyOrder = JSON.parse(Deno.args[0]);
  const stop = new AbortController();
  Deno.addSignalListener("SIGTERM", () => stop.abort());
  let isDue = fault !== undefined;
  const onFaultPoint = (point: FaultPoint, step: number) => {
    if (!isDue || point !== fault!.point || step < fault!.step) return;
    isDue = false;
    if (fault!.way === "exception") throw new RunError(`fails ${point}, as it was told`);
    Deno.kill(Deno.pid, fault!.way);
  };
  const replica = new ToyReplica({
    size,
    beforeGradient: async (step) => {
      if (pause > 0) await new Promise((resolve) => setTimeout(resolve, pause));
      if (step === block?.step) setTimeout(() => blockEventLoop(block.seconds), 100);
    },
  });
  const transport = await connectNats(url, member);
  const { configHash } = await fetchRun(transport, run, member);
  try {
    const { signal } = stop;
    await runWorker(transport, replica, { run, member, configHash, atHome: true, signal, onFaultPoint });
  } catch (error) {
    if (!(error instanceof RunError)) throw error;
    Deno.exitCode = 1;
  }
  await transport.close();
  Deno.exit();
}

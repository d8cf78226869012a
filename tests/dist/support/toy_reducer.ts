/**
 * A reducer process of a toy run: `toy_reducer.ts '{"url": …, "run": …, "reducer": …}'`.
 *
 * @module
 */

import { decodeFrame } from "../../../src/dist/protocol/frames.ts";
import { connectNats } from "../../../src/dist/nats/transport.ts";
import { runReducer } from "../../../src/dist/reducer.ts";
import type { Transport } from "../../../src/dist/protocol/transport.ts";
import { RunError } from "../../../src/errors.ts";
import { tapped } from "./tapped.ts";

/** What the process is told. */
export interface ToyReducerOrder {
  url: string;
  run: string;
  reducer: string;
  /** What happens to it when it is about to send a part of the mean of this step. */
  fault?: { step: number; at: "first mean" | "second mean"; way: "SIGKILL" | "SIGSTOP" | "SIGTERM" };
}

/** The transport, with the fault. */
function suffering(transport: Transport, { run, fault }: ToyReducerOrder): Transport {
  let means = 0;
  return tapped(transport, (data) => {
    const frame = decodeFrame(data, run);
    if (!fault || "refused" in frame || frame.kind !== "mean" || frame.step !== fault.step) return;
    if (++means === (fault.at === "first mean" ? 1 : 2)) Deno.kill(Deno.pid, fault.way);
  });
}

if (import.meta.main) {
  const order: ToyReducerOrder = JSON.parse(Deno.args[0]);
  const { url, run, reducer } = order;
  const stop = new AbortController();
  Deno.addSignalListener("SIGTERM", () => stop.abort());
  const transport = await connectNats(url, reducer);
  try {
    await runReducer(suffering(transport, order), { run, reducer, signal: stop.signal });
  } catch (error) {
    if (!(error instanceof RunError)) throw error;
    Deno.exitCode = 1;
  }
  await transport.close();
  Deno.exit();
}

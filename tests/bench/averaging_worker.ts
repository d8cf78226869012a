/**
 * A worker process of the averaging benchmark: its gradient is the same vector every time, and it updates nothing.
 *
 *     averaging_worker.ts '{"url": …, "run": …, "member": …, "size": …, "sharesMemory": …}'
 *
 * @module
 */

import { fetchRun } from "../../src/dist/worker/join.ts";
import { connectNats } from "../../src/dist/nats/transport.ts";
import type { StepOutcome } from "../../src/dist/replica/replica.ts";
import { runWorker } from "../../src/dist/worker.ts";
import { noise, ToyReplica } from "../dist/support/toy.ts";
import { BorrowedVector, type GradientSum, type GradientVector } from "../../src/dist/vectors/gradient.ts";

/** Milliseconds for a gradient: all workers are equally quick, and each gets one micro-batch. */
const GRADIENT_TIME = 30;

class StillReplica extends ToyReplica {
  readonly #gradient = new BorrowedVector(noise(this.size, 2));

  override async gradient(): Promise<GradientSum & { crc: number }> {
    await new Promise((resolve) => setTimeout(resolve, GRADIENT_TIME));
    return { lossSum: 1, tokens: 1, gradient: this.#gradient, crc: 0 };
  }

  override apply(_mean: GradientVector, { step }: StepOutcome): Promise<void> {
    this.step = step;
    return Promise.resolve();
  }
}

if (import.meta.main) {
  const { url, run, member, size, sharesMemory } = JSON.parse(Deno.args[0]);
  const transport = await connectNats(url, member);
  const { configHash, id } = await fetchRun(transport, run, member);
  const options = { run, id, member, configHash, atHome: true, sharesMemory };
  await runWorker(transport, new StillReplica({ size }), options);
  await transport.close();
  Deno.exit();
}

/**
 * A worker process of the slow link's benchmark: a gradient takes a given time and is the same vector every time. At the end it
 * writes how long it has computed and how long that took altogether, from its second update on.
 *
 *     slow_link_worker.ts '{"url": …, "run": …, "member": …, "size": …, "gradientTime": …, "averages": …}'
 *
 * @module
 */

import { DilocoReplica } from "../../src/dist/replica/diloco_replica.ts";
import { fetchRun } from "../../src/dist/worker/join.ts";
import { connectNats } from "../../src/dist/nats/transport.ts";
import type { StepOutcome } from "../../src/dist/replica/replica.ts";
import { runWorker } from "../../src/dist/worker.ts";
import { noise, ToyReplica } from "../dist/support/toy.ts";
import { type GradientSum, type GradientVector, HostVector } from "../../src/dist/vectors/gradient.ts";

/** What the process is told. */
export interface SlowWorkerOrder {
  url: string;
  run: string;
  member: string;
  size: number;
  /** Milliseconds for a gradient. */
  gradientTime: number;
  /** Whether parameters are averaged. */
  averages: boolean;
}

/** What the process tells. */
export interface SlowWorkerReport {
  /** Steps between the second update and the last. */
  steps: number;
  /** Seconds for them. */
  span: number;
  /** Of which it has computed. */
  busy: number;
}

/** Adds up how long work takes, from the second update on. */
class Stopwatch {
  #busy = 0;
  #updates = 0;
  #first = { step: 0, at: 0 };
  #last = { step: 0, at: 0 };

  async work<T>(work: () => Promise<T>): Promise<T> {
    const begun = performance.now();
    try {
      return await work();
    } finally {
      this.#busy += performance.now() - begun;
    }
  }

  updated(step: number): void {
    this.#last = { step, at: performance.now() };
    if (++this.#updates !== 2) return;
    this.#first = this.#last;
    this.#busy = 0;
  }

  get report(): SlowWorkerReport {
    const first = this.#first, last = this.#last;
    return { steps: last.step - first.step, span: (last.at - first.at) / 1000, busy: this.#busy / 1000 };
  }
}

const watch = new Stopwatch();

class StillReplica extends ToyReplica {
  readonly #gradient = noise(this.size, 2);

  constructor(size: number, readonly gradientTime: number) {
    super({ size });
  }

  override async gradient(): Promise<GradientSum & { crc: number }> {
    await new Promise((resolve) => setTimeout(resolve, this.gradientTime));
    return { lossSum: 1, tokens: 1, gradient: new HostVector(this.#gradient.slice()), crc: 0 };
  }

  override apply(_mean: GradientVector, { step }: StepOutcome): Promise<void> {
    this.step = step;
    return Promise.resolve();
  }
}

/** Averages gradients. */
class Still extends StillReplica {
  override gradient(): Promise<GradientSum & { crc: number }> {
    return watch.work(() => super.gradient());
  }

  override async apply(mean: GradientVector, outcome: StepOutcome): Promise<void> {
    await watch.work(() => super.apply(mean, outcome));
    watch.updated(outcome.step);
  }
}

/** Averages parameters. */
class AveragingStill extends DilocoReplica {
  override localSteps(...work: Parameters<DilocoReplica["localSteps"]>) {
    return watch.work(() => super.localSteps(...work));
  }

  override async apply(mean: GradientVector, outcome: StepOutcome): Promise<void> {
    await watch.work(() => super.apply(mean, outcome));
    watch.updated(outcome.step);
  }
}

if (import.meta.main) {
  const { url, run, member, size, gradientTime, averages }: SlowWorkerOrder = JSON.parse(Deno.args[0]);
  const transport = await connectNats(url, member);
  const { configHash, id } = await fetchRun(transport, run, member);
  const replica = averages
    ? new AveragingStill(new StillReplica(size, gradientTime), { rate: 0.7, momentum: 0.9 })
    : new Still(size, gradientTime);
  await runWorker(transport, replica, { run, id, member, configHash, atHome: true });
  await transport.close();
  console.log(JSON.stringify(watch.report));
  Deno.exit();
}

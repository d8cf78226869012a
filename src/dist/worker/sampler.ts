/**
 * A member's samples: it continues the prompts of the run token by token, while it has nothing else to compute.
 *
 * @module
 */

import { setTimeout as delay } from "node:timers/promises";
import { Halted } from "../../errors.ts";
import type { Replica } from "../replica/replica.ts";
import { sample, type SampleResult } from "../replica/samples.ts";

/** Milliseconds between two looks whether the worker has something else to do. */
const LOOK = 2;

/** What a sampler needs of its worker. */
export interface SamplerEffects {
  /** Whether the worker computes: then samples wait. */
  isBusy(): boolean;
  /** A token comes next. */
  progress(): void;
  /** Tells the coordinator the result. */
  tell(step: number, result: SampleResult): void;
  /** What is no matter of samples has failed. */
  fail(error: unknown): void;
}

/** Samples for one evaluation at a time. */
export class Sampler {
  /** The last step that it was asked about. */
  #step: number | undefined;
  #isRunning = false;
  /** Whether the worker waits for it. */
  #isAwaited = false;
  #isStopped = false;
  #ended: Promise<void> = Promise.resolve();

  /** Nothing is sampled yet. */
  constructor(readonly replica: Pick<Replica, "step" | "sample">, readonly effects: SamplerEffects) {}

  /**
   * Copies the present parameters, and samples while the worker waits for others; nothing where samples of an earlier step are not
   * done.
   *
   * @param isAwaited whether this resolves only when all is done, earlier samples first: no step follows
   */
  async sample(isAwaited: boolean): Promise<void> {
    this.#isAwaited = isAwaited;
    if (isAwaited) await this.#ended;
    this.#begin();
    if (isAwaited) await this.#ended;
  }

  /** Ends after the present token; what is not complete is lost. */
  stop(): Promise<void> {
    this.#isStopped = true;
    return this.#ended;
  }

  /** Begins, unless it has: where a member is lost meanwhile, the others are ordered to evaluate again, as another set of members. */
  #begin(): void {
    const { replica: { step }, effects } = this;
    if (step === this.#step || this.#isStopped) return;
    this.#step = step;
    if (this.#isRunning) return effects.tell(step, { error: "those of an earlier step were not done yet" });
    this.#isRunning = true;
    this.#ended = this.#run(step);
  }

  async #run(step: number): Promise<void> {
    try {
      const result = await sample(this.replica, () => this.#turn());
      this.effects.tell(step, result);
    } catch (error) {
      if (!(error instanceof Halted)) this.effects.fail(error);
    } finally {
      this.#isRunning = false;
    }
  }

  /** Waits until a token may be computed. */
  async #turn(): Promise<void> {
    while (!this.#isStopped && !this.#isAwaited && this.effects.isBusy()) await delay(LOOK);
    if (this.#isStopped) throw new Halted();
    this.effects.progress();
  }
}

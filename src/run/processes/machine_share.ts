/**
 * What the workers of this machine compute of a run that another one coordinates.
 *
 * @module
 */

import type { WorkerStep } from "../participants/worker.ts";

/** Adds up the shares of this machine's workers in a step. */
export class MachineShare {
  readonly #latest = new Map<string, WorkerStep>();
  #step = 0;
  #before = 0;

  /**
   * A worker has applied a step.
   *
   * @returns the step with the share of all workers of this machine: of one that is a step behind the share in that one, and of one
   *   that is further behind none, since it is no member now
   */
  add(member: string, step: WorkerStep): WorkerStep {
    this.#latest.set(member, step);
    if (step.step > this.#step) [this.#before, this.#step] = [this.#step, step.step];
    const members = [...this.#latest.values()].filter((other) => other.step >= this.#before);
    return { ...step, share: members.reduce((sum, { share }) => sum + share, 0) };
  }
}

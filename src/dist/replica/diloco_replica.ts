/**
 * A replica in a run with parameter averaging (DiLoCo): it takes local steps on its share of each batch, contributes its parameter
 * delta (pseudo-gradient), and applies the mean of all deltas by an outer step (`outer_optimizer.ts`).
 *
 * Parameters and outer momentum belong to the run: they are equal on all members at the boundaries between rounds. The moments of
 * the local optimizer belong to each member.
 *
 * @module
 */

import { computeSum, normOfMean, type ReportedSum } from "./accumulate.ts";
import { outerGradientSum, type OuterOptions, outerStep } from "./outer_optimizer.ts";
import { BorrowedVector, type GradientSum, type GradientVector, HostVector } from "../vectors/gradient.ts";
import type { LossSum } from "../vectors/sums.ts";
import type { Replica, ReplicaIdentity, ReplicaState, StateHashes, StepOutcome } from "./replica.ts";
import { type Range, subtrees } from "../vectors/tree.ts";
import { hashesOf } from "./state_hash.ts";

/** Name of the outer momentum among the state's vectors. */
const VELOCITY = "outer";

/** What a member does in a round. */
export interface LocalWork {
  /** Number of local steps. */
  steps: number;
  /** Its micro-batches of each step's batch. */
  share: Range;
  /** Micro-batches of a batch. */
  microBatches: number;
}

/** Wraps a replica that only knows steps. Between rounds, all its methods refer to the state of the run. */
export class DilocoReplica implements Replica {
  #step = 0;
  #updates = 0;
  #tokens = 0;
  #velocity: Float32Array;
  /** Moments after the local steps of the open round. */
  #trained: ReplicaState["own"];

  /** Wraps a replica at step 0; where a run is resumed, {@linkcode DilocoReplica.restore} sets its state. */
  constructor(readonly inner: Replica, readonly outer: OuterOptions) {
    this.#velocity = new Float32Array(inner.size);
  }

  /** The replica as a DilocoReplica, which it has to be where the plan has rounds. */
  static of(replica: Replica): DilocoReplica {
    if (replica instanceof DilocoReplica) return replica;
    throw new TypeError(
      "The plan averages parameters: a DilocoReplica was expected, found another replica.",
    );
  }

  get identity(): ReplicaIdentity {
    return this.inner.identity;
  }

  get device(): string {
    return this.inner.device;
  }

  get size(): number {
    return this.inner.size;
  }

  get step(): number {
    return this.#step;
  }

  get moments(): readonly string[] {
    return this.inner.moments;
  }

  gradient(step: number, microBatch: number): Promise<GradientSum & { crc: number }> {
    return this.inner.gradient(step, microBatch);
  }

  evaluate(microBatch: number): Promise<LossSum> {
    return this.inner.evaluate(microBatch);
  }

  sample(beforeEach: () => Promise<void> | void): Promise<string[]> {
    return this.inner.sample(beforeEach);
  }

  /**
   * Takes the local steps of the next round. The sum's vector is the pseudo-gradient (parameters before − after) times the tokens;
   * the replica itself is restored to its state before the steps.
   *
   * @param beforeEach called before each micro-batch; throws to stop
   * @param into where the sum's vector is written; its owner keeps it
   */
  async localSteps(
    { steps, share: [lo, hi], microBatches }: LocalWork,
    beforeEach: (step: number, microBatch: number) => void = () => {},
    into?: Float32Array,
  ): Promise<ReportedSum> {
    const { inner } = this;
    const before = await inner.state();
    const ranges = subtrees(lo, hi, microBatches);
    const all: ReportedSum[] = [];
    try {
      for (let step = this.#step + 1; step <= this.#step + steps; step++) {
        all.push(await this.#localStep(step, ranges, (microBatch) => beforeEach(step, microBatch)));
      }
      const { updates, vectors } = await inner.state();
      const { params, own } = this.#split(vectors);
      this.#trained = { updates, vectors: own };
      const total = (count: (sum: GradientSum) => number) =>
        all.reduce((sum, each) => sum + count(each.sum), 0);
      const tokens = total((sum) => sum.tokens);
      const delta = outerGradientSum(before.vectors.params, params, tokens, into);
      const gradient = into ? new BorrowedVector(delta) : new HostVector(delta);
      return {
        sum: { lossSum: total((sum) => sum.lossSum), tokens, gradient },
        reports: all.flatMap(({ reports }) => reports),
        seconds: all.reduce((sum, { seconds }) => sum + seconds, 0),
      };
    } finally {
      await inner.restore(before);
    }
  }

  /** One step of the local optimizer on the mean over these ranges. It is skipped where a number is not finite. */
  async #localStep(
    step: number,
    ranges: readonly Range[],
    beforeEach: (microBatch: number) => void,
  ): Promise<ReportedSum> {
    const sums: ReportedSum[] = [];
    for (const [lo, hi] of ranges) sums.push(await computeSum(this.inner, step, lo, hi, { beforeEach }));
    const [{ sum }, ...others] = sums;
    for (const { sum: { lossSum, tokens, gradient } } of others) {
      sum.gradient = await sum.gradient.add(gradient);
      sum.lossSum += lossSum;
      sum.tokens += tokens;
    }
    let reports = sums.flatMap((each) => each.reports);
    let norm = NaN;
    const isSound = reports.every(({ finite }) => finite);
    if (isSound && sum.tokens > 0) {
      norm = await normOfMean(sum);
      if (!Number.isFinite(norm)) reports = reports.map((report) => ({ ...report, finite: false }));
    }
    const apply = Number.isFinite(norm);
    await this.inner.apply(sum.gradient, { step, apply, norm, tokens: sum.tokens });
    sum.gradient.release();
    return { sum, reports, seconds: sums.reduce((total, { seconds }) => total + seconds, 0) };
  }

  /** Ends a round, or a step of the warm-up; in the warm-up `mean` is the mean gradient, as in any run. */
  async apply(mean: GradientVector, outcome: StepOutcome): Promise<void> {
    const { step, apply, tokens, localSteps } = outcome;
    if (localSteps === undefined) await this.inner.apply(mean, outcome);
    else await this.#endRound(mean, outcome);
    this.#trained = undefined;
    this.#step = step;
    this.#tokens += tokens;
    if (apply) this.#updates += localSteps ?? 1;
  }

  /** The inner replica advances to the same step; a round that is skipped leaves its other state as before the round. */
  async #endRound(mean: GradientVector, { step, apply }: StepOutcome): Promise<void> {
    const before = await this.inner.state();
    if (!apply) return await this.inner.restore({ ...before, step });
    const { updates, vectors: moments } = this.#trained ?? { updates: before.updates, vectors: {} };
    const velocity = this.#velocity.slice(), host = await mean.toHost();
    outerStep(before.vectors.params, velocity, host.values, this.outer);
    host.assertWhole();
    this.#velocity = velocity;
    await this.inner.restore({ ...before, step, updates, vectors: { ...before.vectors, ...moments } });
  }

  async state(): Promise<ReplicaState> {
    const { vectors, updates } = await this.inner.state();
    const { params, own, others } = this.#split(vectors);
    return {
      step: this.#step,
      updates: this.#updates,
      tokens: this.#tokens,
      vectors: { params, ...others, [VELOCITY]: this.#velocity.slice() },
      own: { updates, vectors: own },
    };
  }

  /** Also accepts a state of a run that has only averaged gradients so far, whose moments are common to all members. */
  async restore({ step, updates, tokens, vectors, own }: ReplicaState): Promise<void> {
    const { [VELOCITY]: velocity, ...others } = vectors;
    const inner = { ...others, ...own?.vectors, params: vectors.params };
    await this.inner.restore({ step, updates: own?.updates ?? updates, tokens, vectors: inner });
    this.#velocity = velocity ?? new Float32Array(this.size);
    this.#trained = undefined;
    this.#step = step;
    this.#updates = updates;
    this.#tokens = tokens;
  }

  async hashes(): Promise<StateHashes> {
    return hashesOf(await this.state());
  }

  save(state: ReplicaState): Promise<string> {
    return this.inner.save(state);
  }

  saveOwn(state: ReplicaState): Promise<string> {
    return this.inner.saveOwn(state);
  }

  dispose(): void {
    this.inner.dispose();
  }

  /** The parameters, this member's own moments, and the other vectors of the inner replica. */
  #split({ params, ...rest }: ReplicaState["vectors"]) {
    const isOwn = (name: string) => this.moments.includes(name);
    const entries = Object.entries(rest);
    const own = Object.fromEntries(entries.filter(([name]) => isOwn(name)));
    const others = Object.fromEntries(entries.filter(([name]) => !isOwn(name)));
    return { params, own, others };
  }
}

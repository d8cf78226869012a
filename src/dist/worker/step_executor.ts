/**
 * The work on a replica: gradient sums, updates, losses, copies of the state for newcomers, and restoring another replica's state.
 * Orders and answers are received and sent in `worker.ts`.
 *
 * @module
 */

import { DilocoReplica, type LocalWork } from "../replica/diloco_replica.ts";
import { TimeSpent } from "../replica/time_spent.ts";
import { codecOf } from "../vectors/codecs.ts";
import { BorrowedVector } from "../vectors/gradient.ts";
import { computeLosses, computeSum, type ReportedSum } from "../replica/accumulate.ts";
import type { FaultPoint } from "../protocol/fault_points.ts";
import type { Composition, Frame } from "../protocol/frames.ts";
import type { Messages, Received, Transferred } from "../protocol/messages.ts";
import type { Replica, ReplicaState, StepOutcome } from "../replica/replica.ts";
import { type Donor, PinnedState, transferState } from "../transfer/state_transfer.ts";
import { lastStep } from "../replica/rounds.ts";
import { now } from "../protocol/timeouts.ts";
import { MemberSide, type VectorFields } from "../allreduce/member_side.ts";
import type { Range } from "../vectors/tree.ts";
import { Halted } from "../../errors.ts";
import type { SharedSums } from "../allreduce/shared_sums.ts";
import type { CodecName } from "../vectors/codec.ts";

/** Callbacks of an executor to its worker. */
export interface ExecutorEffects {
  /** Reports a new activity; throws {@linkcode Halted} where the worker has ended. */
  begin(phase: string): void;
  /** Sends part of a vector to the reducer that pulls it. */
  send(reducer: string, fields: VectorFields, payload: Composition): void;
  /** A fault point is reached. */
  reach(point: FaultPoint, step: number): void;
  /** An error outside of any call. */
  fail(error: unknown): void;
}

/** Sizes from the coordinator's welcome. */
export interface ExecutorSizes {
  /** Micro-batches of the global batch. */
  microBatches: number;
  /** Values per part of a vector. */
  partElements: number;
  /** How sums and means are encoded. */
  codec: CodecName;
  /** Bytes that may be in flight at once. */
  windowBytes: number;
}

/** A replica, with the sums and means of the open step. */
export class StepExecutor implements Disposable {
  /** Sums to hand out, and means. */
  readonly vectors: MemberSide;
  /** How the worker spends its time. */
  readonly time = new TimeSpent(now);
  readonly #commits = new Map<number, Messages["commit"]>();
  /** States that others may request, by step, and when that last happened. */
  readonly #pinned = new Map<number, { state: PinnedState; usedAt: number }>();
  #stateBytes = 0;
  /** Identifies the last work for a round. */
  #work = "";

  /**
   * Nothing is computed yet.
   *
   * @param shared memory for sums that neighbours read
   */
  constructor(
    readonly replica: Replica,
    readonly sizes: ExecutorSizes,
    readonly effects: ExecutorEffects,
    shared?: SharedSums,
  ) {
    const { partElements, codec } = sizes;
    this.vectors = new MemberSide(replica.size, partElements, codecOf(codec), effects, shared);
  }

  /** Traffic so far. */
  get transferred(): Transferred {
    const { bytesSent, bytesReceived } = this.vectors;
    return { bytesSent, bytesReceived, stateBytes: this.#stateBytes };
  }

  /**
   * Computes the missing sums over subtrees of the next step, or this member's leaf of the next round, and offers all.
   *
   * @param wanted the subtrees; more may come while one is computed
   */
  async compute(
    wanted: () => readonly Range[],
    offer: (range: Range, sum: ReportedSum) => void,
    local?: LocalWork,
  ): Promise<void> {
    const { replica, effects, vectors } = this;
    const step = replica.step + 1;
    if (local) this.#beginRound(JSON.stringify([step, local, wanted()]));
    const offered = new Set<string>();
    const next = () => wanted().find((range) => !offered.has(String(range)));
    for (let range = next(); range; range = next()) {
      let sum = vectors.sumOf(step, range);
      if (!sum) {
        const isWanted = () => wanted().some((other) => String(other) === String(range));
        const beforeEach = (step: number, microBatch: number) => {
          if (!isWanted()) throw new Halted();
          effects.begin(`computing micro-batch ${microBatch} of step ${step}`);
          effects.reach("before-forward", step);
        };
        const [lo, hi] = range;
        const place = vectors.placeFor(step);
        sum = await this.time.computing(() =>
          local
            ? DilocoReplica.of(replica).localSteps(local, beforeEach, place?.values)
            : computeSum(replica, step, lo, hi, {
              beforeEach: (microBatch) => beforeEach(step, microBatch),
              into: place?.values,
            })
        );
        vectors.keep(step, range, sum, (await sum.sum.gradient.toHost()).values, place);
      }
      offered.add(String(range));
      offer(range, sum);
    }
  }

  /** Stores a commit, which may have to wait for the state of the step before. */
  note(step: number, commit: Messages["commit"]): void {
    if (step > this.replica.step) this.#commits.set(step, commit);
  }

  /** Whether the next step is committed and its mean complete. */
  get canApply(): boolean {
    const step = this.replica.step + 1;
    const commit = this.#commits.get(step);
    return commit !== undefined &&
      (!commit.apply || this.vectors.meanOf(step, commit.round?.attempt)?.holds() === true);
  }

  /**
   * Applies the next step, for which {@linkcode StepExecutor.canApply} holds.
   *
   * @returns what was committed
   * @throws {Halted} where the mean was overwritten before it was copied: nothing has changed, and nothing can be applied any more
   */
  async apply(): Promise<Messages["commit"] & { step: number }> {
    const { replica, effects, vectors } = this;
    const step = replica.step + 1;
    const commit = this.#commits.get(step)!;
    const { apply, norm, tokens, round } = commit;
    const localSteps = round?.localSteps;
    effects.reach("before-apply", step);
    const last = lastStep(step, localSteps);
    const outcome: StepOutcome = { step: last, apply, norm, tokens, localSteps };
    const { values, holds } = apply
      ? vectors.meanOf(step)!
      : { values: new Float32Array(), holds: () => true };
    const mean = new BorrowedVector(values, () => {
      if (!holds()) throw new Halted(); // this process was frozen, and the run has gone on without it
    });
    await this.time.computing(() => replica.apply(mean, outcome));
    vectors.endStep(apply);
    this.#forgetThrough(last);
    return { step: last, ...commit };
  }

  /** Losses of validation micro-batches. */
  async evaluate(ranges: readonly Range[]): Promise<Messages["evaluated"]["losses"]> {
    const losses: Messages["evaluated"]["losses"] = [];
    for (const [lo, hi] of ranges) {
      const each = (microBatch: number) => this.effects.begin(`evaluating micro-batch ${microBatch}`);
      losses.push(...await this.time.computing(() => computeLosses(this.replica, lo, hi, each)));
    }
    return losses;
  }

  /** Keeps a copy of the present state for newcomers, or for the run's folder. */
  async pin(): Promise<ReplicaState> {
    const { step } = this.replica;
    const pinned = this.#pinned.get(step) ??
      { state: new PinnedState(await this.replica.state(), this.#pieceElements), usedAt: 0 };
    this.#pinned.set(step, { ...pinned, usedAt: performance.now() });
    return pinned.state.state;
  }

  /** The pinned state of a step; undefined where none is pinned. */
  pinned(step: number): ReplicaState | undefined {
    return this.#pinned.get(step)?.state.state;
  }

  /** The answer to a request about a pinned state; undefined where there is none. */
  async answer(
    question: Received,
    from: Pick<Frame, "run" | "sender" | "step">,
  ): Promise<Uint8Array | undefined> {
    const pinned = this.#pinned.get(question.step);
    if (!pinned) return undefined;
    pinned.usedAt = performance.now();
    return await pinned.state.answer(question, from);
  }

  /**
   * Releases earlier states that were not requested for this long.
   *
   * @param isHeard whether requests can arrive; time without a connection does not count
   */
  release(unusedSeconds: number, isHeard: boolean): void {
    const time = performance.now();
    for (const [step, pinned] of this.#pinned) {
      if (!isHeard) pinned.usedAt = time;
      const isOld = step < this.replica.step && time - pinned.usedAt >= 1000 * unusedSeconds;
      if (!isOld) continue;
      this.#pinned.delete(step);
      pinned.state[Symbol.dispose]();
    }
  }

  /** Gives shared memory back. */
  [Symbol.dispose](): void {
    for (const { state } of this.#pinned.values()) state[Symbol.dispose]();
    this.vectors[Symbol.dispose]();
  }

  /** Gets and restores the state that a donor has pinned, unless the replica has it already. */
  async restoreFrom(donor: Donor): Promise<void> {
    const { replica, sizes: { windowBytes } } = this;
    const own = { step: replica.step, stateHash: (await replica.hashes()).state };
    const taken = await transferState(donor, { windowBytes, own });
    if (!taken) return;
    this.#stateBytes += taken.bytes;
    this.vectors.forgetSums(); // restoring takes their memory back
    await replica.restore(taken.state);
    this.#forgetThrough(replica.step);
  }

  /** Forgets means and commits that were not applied: after a failover they may be committed again. Sums stay valid. */
  forgetUnapplied(): void {
    this.#commits.clear();
    this.vectors.forgetMeans();
  }

  /** Values per part of the state, which is always float32: a part has as many bytes as one of a sum. */
  get #pieceElements(): number {
    const { codec, partElements } = this.sizes;
    return Math.floor(codecOf(codec).byteLength(partElements) / 4);
  }

  /** Discards the work for a round that did not end, unless the same is wanted again. */
  #beginRound(work: string): void {
    if (work !== this.#work) this.vectors.forgetSums();
    this.#work = work;
  }

  #forgetThrough(step: number): void {
    this.vectors.forgetThrough(step);
    for (const of of this.#commits.keys()) if (of <= step) this.#commits.delete(of);
  }
}

/**
 * What a worker does with its replica: sums, updates, losses, copies of the state for newcomers, and the state of another
 * one for itself. How orders and answers travel is in `worker.ts`.
 *
 * @module
 */

import { DilocoReplica, type LocalWork } from "../replica/diloco_replica.ts";
import { codecOf } from "../vectors/codecs.ts";
import { computeLosses, computeSum, type ReportedSum } from "../replica/accumulate.ts";
import type { FaultPoint } from "../protocol/fault_points.ts";
import type { Composition, Frame } from "../protocol/frames.ts";
import type { Messages, Received, Transferred } from "../protocol/messages.ts";
import type { Replica, ReplicaState, StepOutcome } from "../replica/replica.ts";
import { type Donor, PinnedState, takeOver } from "../transfer/state_transfer.ts";
import { lastStep } from "../replica/rounds.ts";
import { MemberSide, type VectorFields } from "../allreduce/member_side.ts";
import type { Range } from "../vectors/tree.ts";
import { Halted } from "../../errors.ts";
import type { CodecName } from "../vectors/codec.ts";

/** What a workbench does to the world. */
export interface WorkbenchEffects {
  /** Says what is being done now; throws {@linkcode Halted} where it is not wanted any more. */
  begin(phase: string): void;
  /** Sends part of a vector to who has asked for it. */
  send(reducer: string, fields: VectorFields, payload: Composition): void;
  /** A fault point has come. */
  reach(point: FaultPoint, step: number): void;
  /** Something went wrong outside of any call. */
  fail(error: unknown): void;
}

/** Sizes that a worker is told. */
export interface WorkbenchSizes {
  /** Micro-batches of the global batch. */
  microBatches: number;
  /** Values of a part of a vector. */
  partElements: number;
  /** How sums and means are written on the wire. */
  codec: CodecName;
  /** Bytes that may be on their way at once. */
  windowBytes: number;
}

/** A replica, and what is in hand for the open step. */
export class StepExecutor {
  /** Sums to hand out, and means. */
  readonly vectors: MemberSide;
  readonly #commits = new Map<number, Messages["commit"]>();
  /** States that others may ask for, by step, and when somebody last did. */
  readonly #pinned = new Map<number, { state: PinnedState; usedAt: number }>();
  #stateBytes = 0;
  /** What was last computed for a round. */
  #work = "";

  /** Nothing in hand. */
  constructor(readonly replica: Replica, readonly sizes: WorkbenchSizes, readonly effects: WorkbenchEffects) {
    const { partElements, codec } = sizes;
    this.vectors = new MemberSide(replica.size, partElements, codecOf(codec), effects);
  }

  /** What was sent and received so far. */
  get transferred(): Transferred {
    const { bytesSent, bytesReceived } = this.vectors;
    return { bytesSent, bytesReceived, stateBytes: this.#stateBytes };
  }

  /**
   * Computes the sums over subtrees of the next step, or this member's leaf of the next round, that are not there yet, and
   * offers all.
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
        sum = local
          ? await DilocoReplica.of(replica).localSteps(local, beforeEach)
          : await computeSum(replica, step, range[0], range[1], (microBatch) => beforeEach(step, microBatch));
        vectors.keep(step, range, sum);
      }
      offered.add(String(range));
      offer(range, sum);
    }
  }

  /** Takes a commit, which may have to wait for the state of the step before. */
  note(step: number, commit: Messages["commit"]): void {
    if (step > this.replica.step) this.#commits.set(step, commit);
  }

  /** Whether the next step is committed and can be ended: nothing is missing. */
  get canApply(): boolean {
    const step = this.replica.step + 1;
    const commit = this.#commits.get(step);
    return commit !== undefined &&
      (!commit.apply || this.vectors.meanOf(step, commit.round?.attempt) !== undefined);
  }

  /**
   * Ends the next step, for which {@linkcode StepExecutor.canApply} holds.
   *
   * @returns what was committed
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
    await replica.apply(apply ? vectors.meanOf(step)! : new Float32Array(), outcome);
    vectors.endStep(apply);
    this.#forgetThrough(last);
    return { step: last, ...commit };
  }

  /** Losses of validation micro-batches. */
  async evaluate(ranges: readonly Range[]): Promise<Messages["evaluated"]["losses"]> {
    const losses: Messages["evaluated"]["losses"] = [];
    for (const [lo, hi] of ranges) {
      const each = (microBatch: number) => this.effects.begin(`evaluating micro-batch ${microBatch}`);
      losses.push(...await computeLosses(this.replica, lo, hi, each));
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

  /** A state that is pinned; undefined where it is not. */
  pinned(step: number): ReplicaState | undefined {
    return this.#pinned.get(step)?.state.state;
  }

  /** The answer to a question about a pinned state; undefined where there is none. */
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
   * Lets go of earlier states that nobody has asked about for so long.
   *
   * @param isHeard whether anybody can ask; while nobody can, no time goes by
   */
  release(unusedSeconds: number, isHeard: boolean): void {
    const time = performance.now();
    for (const [step, pinned] of this.#pinned) {
      if (!isHeard) pinned.usedAt = time;
      const isOld = step < this.replica.step && time - pinned.usedAt >= 1000 * unusedSeconds;
      if (isOld) this.#pinned.delete(step);
    }
  }

  /** Takes over the state that a donor has pinned, where it is not this replica's own. */
  async takeOver(donor: Donor): Promise<void> {
    const { replica, sizes: { windowBytes } } = this;
    const own = { step: replica.step, stateHash: (await replica.hashes()).state };
    const taken = await takeOver(donor, { windowBytes, own });
    if (!taken) return;
    this.#stateBytes += taken.bytes;
    this.vectors.forgetSums(); // restoring takes their memory back
    await replica.restore(taken.state);
    this.#forgetThrough(replica.step);
  }

  /** Forgets means and commits that were not applied: whoever takes over may commit them anew. Sums stay what they are. */
  forgetUnapplied(): void {
    this.#commits.clear();
    this.vectors.forgetMeans();
  }

  /** Values of a part of the state, which is always float32: as many bytes as a part of a sum has. */
  get #pieceElements(): number {
    const { codec, partElements } = this.sizes;
    return Math.floor(codecOf(codec).byteLength(partElements) / 4);
  }

  /** What was computed for a round that did not end is void, unless the same is wanted again. */
  #beginRound(work: string): void {
    if (work !== this.#work) this.vectors.forgetSums();
    this.#work = work;
  }

  #forgetThrough(step: number): void {
    this.vectors.forgetThrough(step);
    for (const of of this.#commits.keys()) if (of <= step) this.#commits.delete(of);
  }
}

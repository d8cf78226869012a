/**
 * A member's part in checkpoints: it copies its state, then writes it, or only its own optimizer moments, or lets the coordinator
 * collect it, while its replica continues.
 *
 * @module
 */

import { errorMessage } from "../../errors.ts";
import type { Messages } from "../protocol/messages.ts";
import type { Replica, ReplicaState, SaveResult } from "../replica/replica.ts";

/** How a member takes part. */
export interface CheckpointWriterOptions {
  /** Its name. */
  member: string;
  /** Whether it writes into the run's folder. */
  atHome: boolean;
  /** Whether, elsewhere, it writes the checkpoints that it hands to the coordinator. */
  keepsCheckpoints?: boolean;
  /** Pins a copy of the present state, which the coordinator can request. */
  pin: () => Promise<ReplicaState>;
  /** The pinned state of a step; undefined where none is pinned (any more). */
  pinned: (step: number) => ReplicaState | undefined;
  /** Tells the coordinator the result of a checkpoint. */
  tell: (step: number, result: SaveResult) => void;
  /** Told where this machine keeps a checkpoint that is not in the run's folder. */
  onKept: (step: number, place: string) => void;
}

/** Writes one checkpoint at a time. */
export class CheckpointWriter {
  #written: Promise<void> = Promise.resolve();
  #last: { step: number; result: SaveResult } | undefined;
  /** The step of the state that the coordinator was last to collect. */
  #handed: number | undefined;

  /** Nothing is to be written yet. */
  constructor(
    readonly replica: Pick<Replica, "state" | "save" | "saveOwn">,
    readonly options: CheckpointWriterOptions,
  ) {}

  /** Copies the present state, and starts to write it. Resolves when the copy is made. */
  async begin({ writer }: Messages["save"]): Promise<void> {
    const { replica, options: { member, atHome, keepsCheckpoints, pin, tell } } = this;
    if (writer === member && atHome) {
      const state = await replica.state();
      return this.#write(() => replica.save(state), (result) => {
        this.#last = { step: state.step, result };
        tell(state.step, result);
      });
    }
    const state = writer === member ? await pin() : await replica.state();
    const tellFailure = (result: SaveResult) => "error" in result && tell(state.step, result);
    if (writer === member) this.#handed = state.step;
    if (state.own) this.#write(() => replica.saveOwn(state), tellFailure);
    if (writer === member && keepsCheckpoints) this.#write(() => replica.save(state), tellFailure);
  }

  /**
   * Writes on this machine the state that the coordinator was to collect, or another one that would be lost otherwise.
   *
   * @param step of the state to be collected: nothing is done where it is not pinned any more
   */
  keep(step: number | undefined = this.#handed, state?: ReplicaState): void {
    const { replica, options: { tell, onKept, pinned } } = this;
    state ??= step === this.#handed && step !== undefined ? pinned(step) : undefined;
    if (!state || step === undefined) return;
    this.#handed = undefined;
    const kept = state;
    this.#write(() => replica.save(kept), (result) => {
      this.#last = { step, result };
      tell(step, result);
      if ("place" in result) onKept(step, result.place);
    });
  }

  /** Tells the result of the last checkpoint again, if it is of this step. */
  repeat(step: number): void {
    if (this.#last?.step === step) this.options.tell(step, this.#last.result);
  }

  /** Waits until nothing is being written. */
  idle(): Promise<void> {
    return this.#written;
  }

  /** Starts a write when the earlier ones are done. */
  #write(work: () => Promise<string>, told: (result: SaveResult) => void): void {
    this.#written = this.#written.then(work).then(
      (place): SaveResult => ({ place }),
      (error): SaveResult => ({ error: errorMessage(error) }),
    ).then(told);
  }
}

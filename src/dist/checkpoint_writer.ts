/**
 * Writes checkpoints of a replica while it goes on.
 *
 * @module
 */

import { wordsOf } from "../errors.ts";
import type { SaveResult } from "./messages.ts";
import type { Replica } from "./replica.ts";

/** Writes one checkpoint at a time. */
export class CheckpointWriter {
  #written: Promise<void> = Promise.resolve();
  #last: { step: number; result: SaveResult } | undefined;

  /**
   * Nothing to write yet.
   *
   * @param tell gets the result of each checkpoint
   */
  constructor(
    readonly replica: Pick<Replica, "state" | "save" | "saveOwn">,
    readonly tell: (step: number, result: SaveResult) => void,
  ) {}

  /**
   * Copies the present state, and begins to write it when the checkpoint before is written. Resolves with the copy.
   *
   * @param isWriter whether it is this member that writes for the run; others write what is only theirs
   */
  async begin(isWriter: boolean): Promise<void> {
    const { replica } = this;
    const state = await replica.state();
    this.#written = this.#written.then(() => isWriter ? replica.save(state) : replica.saveOwn(state)).then(
      (place): SaveResult => ({ place }),
      (error): SaveResult => ({ error: wordsOf(error) }),
    ).then((result) => {
      this.#last = { step: state.step, result };
      this.tell(state.step, result);
    });
  }

  /** Tells the result of a step's checkpoint again, where there is one and it was the last. */
  repeat(step: number): void {
    if (this.#last?.step === step) this.tell(step, this.#last.result);
  }

  /** Waits until nothing is being written. */
  idle(): Promise<void> {
    return this.#written;
  }
}

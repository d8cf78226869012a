/**
 * A worker's tasks, one at a time. An order that comes during another one is dropped, since the coordinator repeats it as long as
 * it is wanted. What was done is not done again, however late its order comes once more: its answers are sent again.
 *
 * @module
 */

import { Halted } from "../../errors.ts";

/** Carries out one task after the other. */
export class TaskQueue {
  /** The present task. */
  #task: Promise<void> | undefined;
  /** The answers of the tasks that were done, by key. */
  readonly #answers = new Map<string, Uint8Array[]>();

  /**
   * No task yet.
   *
   * @param send sends an answer
   * @param fail gets what a task throws
   * @param after called when a task has ended
   */
  constructor(
    readonly send: (answer: Uint8Array) => void,
    readonly fail: (error: unknown) => void,
    readonly after: () => void,
  ) {}

  /** Begins a task, unless one is running. */
  start(key: string, work: (answer: (frame: Uint8Array) => void) => Promise<void>): void {
    if (this.#task) return;
    const answers: Uint8Array[] = [];
    const answer = (frame: Uint8Array) => {
      answers.push(frame);
      this.send(frame);
    };
    this.#task = work(answer)
      .then(() => void this.#answers.set(key, answers))
      .catch((error) => error instanceof Halted || this.fail(error))
      .then(() => {
        this.#task = undefined;
        this.after();
      });
  }

  /**
   * Sends the answers of a task again.
   *
   * @returns false where it was not done, or is forgotten
   */
  repeat(key: string): boolean {
    const answers = this.#answers.get(key);
    answers?.forEach(this.send);
    return answers !== undefined;
  }

  /** Forgets what was done: the replica's state is another one now. */
  forget(): void {
    this.#answers.clear();
  }

  /** Whether a task is running. */
  get isBusy(): boolean {
    return this.#task !== undefined;
  }

  /** Waits until no task is running. */
  async idle(): Promise<void> {
    await this.#task;
  }
}

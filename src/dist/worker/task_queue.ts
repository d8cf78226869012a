/**
 * A worker's tasks, one at a time. An order that comes during another one is dropped, since the coordinator repeats it as long as
 * it is wanted.
 *
 * @module
 */

import { Halted } from "../../errors.ts";

/** The present task, or the last one. */
interface Task {
  key: string;
  done: boolean;
  answers: Uint8Array[];
  ended: Promise<void>;
}

/** Carries out one task after the other. */
export class TaskQueue {
  #task: Task | undefined;

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
    if (this.#task && !this.#task.done) return;
    const task: Task = { key, done: false, answers: [], ended: Promise.resolve() };
    this.#task = task;
    const answer = (frame: Uint8Array) => {
      task.answers.push(frame);
      this.send(frame);
    };
    task.ended = work(answer)
      .catch((error) => error instanceof Halted || this.fail(error))
      .then(() => {
        task.done = true;
        this.after();
      });
  }

  /**
   * Sends the answers of the last task again.
   *
   * @returns false where it was another one, or has not ended
   */
  repeat(key: string): boolean {
    if (!this.#task?.done || this.#task.key !== key) return false;
    this.#task.answers.forEach(this.send);
    return true;
  }

  /** Whether a task is running. */
  get isBusy(): boolean {
    return this.#task?.done === false;
  }

  /** Waits until no task is running. */
  async idle(): Promise<void> {
    await this.#task?.ended;
  }
}

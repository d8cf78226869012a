/**
 * Parts of a vector that follow each other are named in one message where only references to them travel.
 *
 * @module
 */

/** Parts in a row: `part` and `more` after it. */
export interface Run<T> {
  readonly part: number;
  readonly more: number;
  /** What was told with the first of them. */
  readonly first: T;
}

/** Collects parts in a row, by vector. */
export class Runs<T> {
  readonly #open = new Map<string, { part: number; more: number; first: T }>();

  /**
   * None.
   *
   * @param most parts of a message
   * @param send sends a run
   */
  constructor(readonly most: number, readonly send: (run: Run<T>) => void) {}

  /** Adds a part to the run of its vector, or begins another run with it. A run as long as can be is sent. */
  add(vector: string, part: number, told: T): void {
    const run = this.#open.get(vector);
    if (run && part === run.part + run.more + 1) run.more++;
    else {
      if (run) this.send(run);
      this.#open.set(vector, { part, more: 0, first: told });
    }
    if (this.#open.get(vector)!.more + 1 >= this.most) this.#end(vector);
  }

  /** Sends all runs. */
  flush(): void {
    for (const vector of [...this.#open.keys()]) this.#end(vector);
  }

  #end(vector: string): void {
    const run = this.#open.get(vector)!;
    this.#open.delete(vector);
    this.send(run);
  }
}

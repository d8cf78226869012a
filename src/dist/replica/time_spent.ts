/**
 * How the time of a process divides into activities, of which there is one at a time.
 *
 * @module
 */

/** What a process that trains does: gradients, updates and losses; sums and means; neither of both. */
export type Activity = "computing" | "exchanging" | "waiting";

/** Seconds of each activity since the start. */
export type Spent = Readonly<Record<Activity, number>>;

/** A clock that counts for one activity at a time. */
export class TimeSpent {
  #activity: Activity = "waiting";
  #since: number;
  readonly #spent = { computing: 0, exchanging: 0, waiting: 0 };

  /**
   * Starts, waiting.
   *
   * @param now seconds on a clock that does not go back
   */
  constructor(readonly now: () => number) {
    this.#since = now();
  }

  /** Another activity begins, or the same continues. */
  begin(activity: Activity): void {
    this.#settle();
    this.#activity = activity;
  }

  /** Waiting ends; computing continues. */
  beginExchange(): void {
    if (this.#activity === "waiting") this.begin("exchanging");
  }

  /** Computes, and waits afterwards. */
  async computing<T>(work: () => Promise<T>): Promise<T> {
    this.begin("computing");
    try {
      return await work();
    } finally {
      this.begin("waiting");
    }
  }

  /** All seconds so far. */
  get spent(): Spent {
    this.#settle();
    return { ...this.#spent };
  }

  #settle(): void {
    const time = this.now();
    this.#spent[this.#activity] += time - this.#since;
    this.#since = time;
  }
}

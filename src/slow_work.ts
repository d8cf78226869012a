/**
 * A long silence looks like a hang: what takes long says how far it is.
 *
 * @module
 */

/** Milliseconds after which the first line is due, and between two lines. */
const FIRST = 3000, EVERY = 10_000;
/** How often it is looked whether a line is due. */
const TICK = 250;

/** When the next line is due: the first after 3 seconds, then one every 10. */
export class SlowPace {
  #next: number;

  /** @param now milliseconds on a clock that does not go back */
  constructor(private readonly now: () => number = () => performance.now()) {
    this.#next = now() + FIRST;
  }

  /** Whether a line is due; the next one is due later then. */
  isDue(): boolean {
    const now = this.now();
    if (now < this.#next) return false;
    this.#next = now + EVERY;
    return true;
  }
}

/**
 * Does work that says what it is doing, and passes that on while the work takes long. Work that computes has to await something
 * now and then ({@linkcode breathe}), or no line comes.
 *
 * @param work calls its argument with what it is doing now
 *
 * @example
 * ```ts
 * import { reportSlow } from "./slow_work.ts";
 * const sum = await reportSlow(console.log, async (at) => {
 *   at(() => "adds");
 *   return await Promise.resolve(1 + 1);
 * });
 * console.assert(sum === 2); // and nothing was said
 * ```
 */
export async function reportSlow<T>(
  say: (line: string) => void,
  work: (at: (doing: () => string) => void) => Promise<T>,
  pace: SlowPace = new SlowPace(),
): Promise<T> {
  let doing: (() => string) | undefined;
  const timer = setInterval(() => doing && pace.isDue() && say(doing()), TICK);
  try {
    return await work((now) => doing = now);
  } finally {
    clearInterval(timer);
  }
}

/** Lets timers run. */
export function breathe(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

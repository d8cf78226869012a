/**
 * The clock of whoever decides by time. Decisions themselves get the time handed in.
 *
 * @module
 */

/** Seconds on a clock that does not go back. */
export function now(): number {
  return performance.now() / 1000;
}

/** What a promise comes to; undefined where it takes longer. */
export async function within<T>(seconds: number, promise: Promise<T>): Promise<T | undefined> {
  const late = Promise.withResolvers<undefined>();
  const timer = setTimeout(late.resolve, 1000 * seconds, undefined);
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** Seconds for which nobody may listen at a member's place: it is enough to connect again to a restarted server. */
export const GONE_SECONDS = 5;

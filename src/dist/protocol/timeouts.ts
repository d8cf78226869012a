/**
 * The clock, and waiting with a timeout. Functions that decide by time get it as a parameter.
 *
 * @module
 */

/** Seconds on a monotonic clock. */
export function now(): number {
  return performance.now() / 1000;
}

/** The result of a promise; undefined where it takes longer. */
export async function within<T>(seconds: number, promise: Promise<T>): Promise<T | undefined> {
  const late = Promise.withResolvers<undefined>();
  const timer = setTimeout(late.resolve, 1000 * seconds, undefined);
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** Seconds for which a member may not be subscribed: enough to reconnect to a restarted server. */
export const GONE_SECONDS = 5;

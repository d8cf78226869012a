/**
 * Waiting that ends: a run that hangs fails its test, and says what was seen of it.
 *
 * @module
 */

/** Seconds after which a run of processes has hung, however busy the machine is. */
const LONGEST = 600;
/** How much of what was seen is shown: the end. */
const SHOWN = 20;

/**
 * The promise, as long as it does not take too long.
 *
 * @param what was waited for, as text
 * @param seen what has happened so far, in order
 * @throws {LateError} where it takes longer than a run can
 */
export async function bounded<T>(
  what: string,
  promise: Promise<T>,
  seen: () => readonly unknown[],
  seconds = LONGEST,
): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    const last = seen().slice(-SHOWN).map((each) => JSON.stringify(each)).join("\n");
    late.reject(new LateError(`waited ${seconds} s in vain for ${what}; the last that was seen:\n${last}`));
  }, 1000 * seconds);
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** What was waited for did not come. */
export class LateError extends Error {}

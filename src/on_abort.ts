/**
 * What is done when a signal is aborted.
 *
 * @module
 */

/**
 * Calls back once the signal is aborted, at once where it is already, until it is disposed of.
 *
 * @example
 * ```ts
 * import { onAbort } from "./on_abort.ts";
 * const stop = new AbortController();
 * let isAsked = false;
 * using _listening = onAbort(stop.signal, () => isAsked = true);
 * stop.abort();
 * console.assert(isAsked);
 * ```
 */
export function onAbort(signal: AbortSignal | undefined, callback: () => void): Disposable {
  if (signal?.aborted) callback();
  else signal?.addEventListener("abort", callback, { once: true });
  return { [Symbol.dispose]: () => signal?.removeEventListener("abort", callback) };
}

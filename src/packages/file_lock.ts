/**
 * A lock between processes, on a file. The kernel releases the lock of a process that dies.
 *
 * @module
 */

/** Milliseconds between two attempts to take a lock that another process holds. */
const POLL = 200;

/** A held lock; disposing releases it. */
export interface FileLock extends Disposable {
  /** Whether another process held it before. */
  readonly waited: boolean;
}

/** Options of waiting for a lock. */
export interface LockOptions {
  /** Ends the waiting. */
  signal?: AbortSignal;
  /** Called once when another process holds the lock. */
  onWait?: () => void;
}

/** Takes the lock, or returns undefined where another process holds it. The file's folder has to exist. */
export async function tryLock(path: string): Promise<FileLock | undefined> {
  const file = await Deno.open(path, { create: true, write: true });
  if (await file.tryLock(true)) return { waited: false, [Symbol.dispose]: () => file.close() };
  file.close();
}

/** Waits for the lock. It polls, because the signal could not end a blocking wait. */
export async function waitForLock(path: string, { signal, onWait }: LockOptions = {}): Promise<FileLock> {
  const atOnce = await tryLock(path);
  if (atOnce) return atOnce;
  onWait?.();
  for (;;) {
    signal?.throwIfAborted();
    await new Promise((resolve) => setTimeout(resolve, POLL));
    const lock = await tryLock(path);
    if (lock) return { ...lock, waited: true };
  }
}

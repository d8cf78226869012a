/**
 * A lock between processes: a file that one of them holds. The kernel drops the lock of a process that dies.
 *
 * @module
 */

/** Milliseconds between two looks at a lock that another process holds. */
const POLL = 200;

/** A held lock; disposing of it lets the next one in. */
export interface FileLock extends Disposable {
  /** Whether another process held it before. */
  readonly waited: boolean;
}

/** How a lock is waited for. */
export interface LockOptions {
  /** Ends the waiting. */
  signal?: AbortSignal;
  /** Called once when another process holds the lock. */
  onWait?: () => void;
}

/** Takes the lock at once, or gives undefined where another process holds it. The file's folder has to be there. */
export async function tryLock(path: string): Promise<FileLock | undefined> {
  const file = await Deno.open(path, { create: true, write: true });
  if (await file.tryLock(true)) return { waited: false, [Symbol.dispose]: () => file.close() };
  file.close();
}

/** Waits for the lock. It polls, because a blocking wait could not be ended by the signal. */
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

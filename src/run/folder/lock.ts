/**
 * One folder, one run: who writes into a run's folder holds its lock. On one machine the kernel keeps it (`flock`) and drops it with
 * the process. Where machines share the folder, the file names the holder, and a heartbeat in it rises every few seconds: a holder
 * without one is dead. Clocks of two machines are never compared.
 *
 * @module
 */

import process from "node:process";
import { z } from "zod";
import { ConfigError, RunError } from "../../errors.ts";

/** Milliseconds between two heartbeats of the holder. */
const RENEWAL = 5_000;
/** Milliseconds without one after which a holder on another machine counts as dead. */
const STALE = 30_000;
const POLL = 500;
/** Milliseconds for which a process that is there may be too busy for a heartbeat. */
const BUSY = 600_000;
/** {@linkcode bootId}, once it was asked for. */
let ownBoot: string | undefined;

const holderSchema = z.object({
  /** Process. */
  pid: z.int(),
  /** Name of its machine, for people. */
  host: z.string().max(300),
  /** Tells two machines of one name apart, and a machine before and after a restart. */
  boot: z.string().max(100),
  /** When it began, for people. */
  since: z.string().max(100),
  /** Rises with each heartbeat. */
  beat: z.int(),
});
type Holder = z.infer<typeof holderSchema>;

/** How a lock is taken. */
export interface FolderLockOptions {
  /** Ends the waiting for a holder on another machine. */
  signal?: AbortSignal;
  /** Receives status lines. */
  say?: (text: string) => void;
  /** Milliseconds between heartbeats, and without one until a holder is dead; for tests. */
  times?: { renewal: number; stale: number };
}

/** A lock that is held until it is disposed of, or the process ends. */
export class FolderLock implements Disposable {
  /** Rejects when another machine has taken the lock, since this process did not renew it for too long. */
  readonly lost: Promise<never>;
  /** Whether that has happened. */
  isLost = false;
  readonly #timer: ReturnType<typeof setInterval>;

  private constructor(readonly file: Deno.FsFile, readonly path: string, holder: Holder, renewal: number) {
    const { promise, reject } = Promise.withResolvers<never>();
    this.lost = promise;
    promise.catch(() => {}); // also where it is not awaited
    this.#timer = setInterval(() => {
      const found = holderIn(file);
      if (found && (found.pid !== holder.pid || found.boot !== holder.boot)) {
        clearInterval(this.#timer);
        this.isLost = true;
        return reject(new RunError(`${describe(found)} has taken the lock ${path}; this process ends`));
      }
      holder = { ...holder, beat: holder.beat + 1 };
      write(file, JSON.stringify(holder));
    }, renewal);
    Deno.unrefTimer(this.#timer);
    write(file, JSON.stringify(holder));
  }

  /**
   * Takes the lock of a run's folder, which has to be there.
   *
   * @throws {ConfigError} where another process holds it: which one, where, and since when
   */
  static async take(folder: string, options: FolderLockOptions = {}): Promise<FolderLock> {
    const { renewal, stale } = options.times ?? { renewal: RENEWAL, stale: STALE };
    const path = `${folder}/run.lock`;
    for (;;) {
      const file = await Deno.open(path, { read: true, write: true, create: true });
      try {
        const holder = holderIn(file);
        if (!await file.tryLock(true)) throw inUse(folder, holder);
        if (!await isAt(file, path)) { // it was released, and deleted, in between
          file.close();
          continue;
        }
        const boot = bootId();
        if (holder && holder.boot !== boot) await throwIfAlive(file, folder, holder, stale, options);
        const since = new Date().toISOString();
        return new FolderLock(
          file,
          path,
          { pid: Deno.pid, host: Deno.hostname(), boot, since, beat: 0 },
          renewal,
        );
      } catch (error) {
        file.close();
        throw error;
      }
    }
  }

  /** Releases the lock. */
  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    try {
      write(this.file, ""); // a process that has it open sees that it was released
      Deno.removeSync(this.path);
    } catch {
      // the folder is gone, or can't be written to any more
    }
    this.file.close();
  }
}

/**
 * Whether the text of a lock, last written `age` ms ago, says that a process holds it: for who only looks. To try the lock itself
 * would reject a run that starts in that moment. A holder on this machine may be too busy for its heartbeat for some minutes.
 */
export function saysHeld(text: string, age: number): boolean {
  const holder = holderOf(text);
  if (!holder) return false;
  const isHere = holder.host === Deno.hostname() && holder.boot === (ownBoot ??= bootId());
  return isHere ? age < BUSY && isAlive(holder.pid) : age < STALE;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as { code?: string }).code === "EPERM"; // another user's
  }
}

/** Whether a file is still the one of this name. */
async function isAt(file: Deno.FsFile, path: string): Promise<boolean> {
  const [own, there] = await Promise.all([file.stat(), Deno.stat(path).catch(() => undefined)]);
  return own.ino === there?.ino && own.dev === there?.dev;
}

/** Waits for a heartbeat of a holder on another machine, and throws at the first. */
async function throwIfAlive(
  file: Deno.FsFile,
  folder: string,
  holder: Holder,
  stale: number,
  { signal, say }: FolderLockOptions,
): Promise<void> {
  say?.(
    `${describe(holder)} used ${folder} last; waiting ${stale / 1000} s to see whether it is still there`,
  );
  const deadline = performance.now() + stale;
  while (performance.now() < deadline) {
    signal?.throwIfAborted();
    await new Promise((resolve) => setTimeout(resolve, Math.min(POLL, stale / 10)));
    const found = holderIn(file);
    if (!found) return; // it was released
    if (found.beat !== holder.beat || found.boot !== holder.boot) throw inUse(folder, found);
  }
}

function inUse(folder: string, holder: Holder | undefined): ConfigError {
  const who = holder ? describe(holder) : "another process";
  return new ConfigError([
    `${folder}: ${who} is using this run's folder; end that one first, or name another folder with --out`,
  ]);
}

function describe({ pid, host, since }: Holder): string {
  return `process ${pid} on ${host} (since ${since})`;
}

/** The holder that the file names; undefined where it names none, or can't be read. */
function holderIn(file: Deno.FsFile): Holder | undefined {
  const bytes = new Uint8Array(1024);
  file.seekSync(0, Deno.SeekMode.Start);
  const count = file.readSync(bytes) ?? 0;
  return holderOf(new TextDecoder().decode(bytes.subarray(0, count)));
}

function holderOf(text: string): Holder | undefined {
  try {
    return holderSchema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined; // empty, or half written
  }
}

/** Replaces the file's text. A full disk does not end a run. */
function write(file: Deno.FsFile, text: string): void {
  try {
    file.seekSync(0, Deno.SeekMode.Start);
    const bytes = new TextEncoder().encode(text);
    for (let at = 0; at < bytes.length;) at += file.writeSync(bytes.subarray(at));
    file.truncateSync(bytes.length);
  } catch {
    // on this machine the kernel's lock is enough
  }
}

/** A new one each time that a machine starts. Deno reads files in /proc only with all permissions, `cat` does. */
function bootId(): string {
  try {
    const command = new Deno.Command("cat", { args: ["/proc/sys/kernel/random/boot_id"], stderr: "null" });
    return new TextDecoder().decode(command.outputSync().stdout).trim() || Deno.hostname();
  } catch {
    return Deno.hostname();
  }
}

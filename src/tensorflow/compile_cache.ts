/**
 * What XLA compiled, kept on the disk: the second start, and all workers of a machine but the first, load it. XLA writes and
 * reads the files itself and takes what it finds there for granted, so a list of checksums says which files are as they were
 * written; others are deleted, and compiled again.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import { errorMessage, RunError } from "../errors.ts";
import { type LockOptions, tryLock, waitForLock } from "../packages/file_lock.ts";
import { cacheFolder } from "../packages/packages.ts";
import { xlaFlag } from "./xla_flags.ts";

/** CRC-32 by file name: the files are guarded against accidents, and there may be hundreds of megabytes to look at at a start. */
type Checksums = Record<string, number>;

/** Bytes that are kept; of more, the oldest files go. The step of a model takes ten million. */
const LIMIT = 500_000_000;

const FOLDER_FLAG = "tf_xla_persistent_cache_directory";

/** The files compiled by one TensorFlow for one kind of processor. */
export class CompileCache {
  /** Where the files are. */
  readonly folder: string;
  /** Checksums that this process has computed, by name, size and time of the file: it looks three times, and there may be many. */
  readonly #computed = new Map<string, number>();
  readonly #limit: number;

  /**
   * @param identity all that compiled code depends on besides the function: versions, instruction set, flags
   * @param limit how many bytes are kept
   */
  constructor(identity: string, limit: number = LIMIT) {
    this.#limit = limit;
    const name = createHash("sha256").update(identity).digest("hex").slice(0, 16);
    this.folder = `${cacheFolder()}/xla/${name}`;
  }

  /**
   * TensorFlow's flags with the one that tells XLA where the files are; they are read when the library is opened. One that names
   * another folder is left out: the files there would not be checked.
   */
  addTo(flags: readonly string[]): string[] {
    return [
      ...flags.filter((flag) => !flag.startsWith(`--${FOLDER_FLAG}=`)),
      xlaFlag(FOLDER_FLAG, this.folder),
    ];
  }

  /**
   * Makes the folder, and deletes damaged files unless another process is compiling.
   *
   * @throws {RunError} where the folder can't be written
   */
  async open(): Promise<void> {
    try {
      await Deno.mkdir(this.folder, { recursive: true });
      using lock = await tryLock(this.#lock);
      if (lock) await this.#deleteDamaged();
    } catch (cause) {
      throw new RunError(
        `the folder for compiled code can't be used: ${
          errorMessage(cause)
        }; set FLASHMOB_CACHE to a folder that can be written`,
        { cause },
      );
    }
  }

  /**
   * Runs what compiles. The first process on this machine compiles alone; those that come meanwhile wait, and then load what it
   * has compiled, all at once.
   */
  async compileOnce(compile: () => Promise<void>, options: LockOptions = {}): Promise<void> {
    let waited: boolean;
    {
      using lock = await waitForLock(this.#lock, options);
      waited = lock.waited;
      await this.#deleteDamaged();
      if (!waited) {
        await compile();
        await this.#deleteOldest();
        await Deno.writeTextFile(this.#list, JSON.stringify(await this.#checksums()));
      }
    }
    if (waited) await compile();
  }

  get #lock(): string {
    return `${this.folder}/lock`;
  }

  get #list(): string {
    return `${this.folder}/checksums.json`;
  }

  async #deleteDamaged(): Promise<void> {
    const known = await this.#knownChecksums();
    for (const [name, sha256] of Object.entries(await this.#checksums())) {
      if (known[name] !== sha256) await Deno.remove(`${this.folder}/${name}`);
    }
  }

  /** The checksums as they were written; none where the list itself is damaged. */
  async #knownChecksums(): Promise<Checksums> {
    try {
      return JSON.parse(await Deno.readTextFile(this.#list)) as Checksums;
    } catch {
      return {};
    }
  }

  /** Deletes the oldest files where there are more bytes than are kept. Who needs one again compiles it again. */
  async #deleteOldest(): Promise<void> {
    const files = await this.#files();
    let bytes = files.reduce((sum, { size }) => sum + size, 0);
    for (const { name, size } of files.sort((a, b) => a.time - b.time)) {
      if (bytes <= this.#limit) return;
      await Deno.remove(`${this.folder}/${name}`);
      bytes -= size;
    }
  }

  /** The checksums of the files that are there. */
  async #checksums(): Promise<Checksums> {
    const checksums: Checksums = {};
    for (const { name, size, time } of await this.#files()) {
      const version = `${name} ${size} ${time}`;
      const checksum = this.#computed.get(version) ?? crc32(await Deno.readFile(`${this.folder}/${name}`));
      this.#computed.set(version, checksum);
      checksums[name] = checksum;
    }
    return checksums;
  }

  /** What XLA has written. */
  async #files(): Promise<{ name: string; size: number; time: number }[]> {
    const files = [];
    for await (const { name } of Deno.readDir(this.folder)) {
      if (!name.endsWith(".pb")) continue;
      const { size, mtime } = await Deno.stat(`${this.folder}/${name}`);
      files.push({ name, size, time: mtime?.getTime() ?? 0 });
    }
    return files;
  }
}

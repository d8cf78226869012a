/**
 * Shared memory, on the side of the one process that writes it.
 *
 * @module
 */

import { breathe } from "../../slow_work.ts";
import { GRAIN, isSize, NAME, type SegmentAddress, sizeFor, stampsIn, writeHeader } from "./header.ts";
import { cString, lastError, type Libc, messageOf, openLibc, type Refusal } from "./libc.ts";
import { Mapping } from "./mapping.ts";
import { renew } from "./stamps.ts";

/** `MFD_CLOEXEC`, `MFD_ALLOW_SEALING`, `MFD_NOEXEC_SEAL` in Linux's `memfd.h`. */
const CLOEXEC = 1, ALLOW_SEALING = 2, NOEXEC_SEAL = 8;
/** `F_ADD_SEALS`, `F_SEAL_SEAL`, `F_SEAL_SHRINK`, `F_SEAL_GROW` in Linux's `fcntl.h`. */
const ADD_SEALS = 1033, SEAL = 1, SHRINK = 2, GROW = 4;
/** `RLIMIT_FSIZE`. */
const FILE_SIZE = 1;
/** `EINTR`. */
const INTERRUPTED = 4;

/** Bytes that are taken from the system at once: about a millisecond, then timers and messages have their turn. */
const SLICE = 2 * 1024 * 1024;
/** Bytes between two writes that touch all pages; a multiple of it is every page size of Linux. */
const SMALLEST_PAGE = 4096;

/**
 * Memory that this process writes and that others of the machine can open ({@linkcode ForeignSegment}). It lives until it is
 * closed or the process ends, however it ends, and as long as another process has it mapped.
 *
 * @example
 * ```ts ignore
 * const segment = await Segment.create(4 * 1000);
 * if ("refused" in segment) return byMessages(segment.refused);
 * const stamp = segment.renew(0);
 * segment.floats.set(sum);
 * // send segment.address and stamp
 * ```
 */
export class Segment implements Disposable {
  /** For others to open it. */
  readonly address: SegmentAddress;

  private constructor(
    private readonly libc: Libc,
    private readonly mapping: Mapping,
    fd: number,
    bytes: number,
  ) {
    this.address = { pid: Deno.pid, fd, bytes, nonce: writeHeader(mapping.buffer) };
  }

  /**
   * Takes memory from the system, all of it now: none is missing when it is used.
   *
   * @param bytes of contents, which are zeros at first
   * @returns the segment, or why there is none: another system than Linux, no permission (`--allow-ffi`), no memory
   * @throws RangeError if `bytes` is not a whole number above 0
   */
  static async create(bytes: number): Promise<Segment | Refusal> {
    if (!isSize(bytes)) throw new RangeError(`a segment of shared memory can't have ${bytes} bytes`);
    const libc = openLibc();
    if ("refused" in libc) return libc;
    const made = await createIn(libc, sizeFor(bytes));
    if (!("refused" in made)) return new Segment(libc, made.mapping, made.fd, bytes);
    libc.close();
    return { refused: `${bytes} bytes of shared memory can't be had: ${made.refused}` };
  }

  /** The contents. Throws once the segment is closed; views from before are empty then. */
  get bytes(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.mapping.buffer, GRAIN, this.address.bytes);
  }

  /** The contents as float32, whole values. */
  get floats(): Float32Array<ArrayBuffer> {
    return new Float32Array(this.mapping.buffer, GRAIN, Math.floor(this.address.bytes / 4));
  }

  /**
   * Begins a new content of one of the two buffers: what it held is valid for no reader any more. Where in the contents the buffers
   * lie is the caller's.
   *
   * @returns the stamp of all that is written until the next one
   */
  renew(buffer: number): number {
    return renew(stampsIn(this.mapping.buffer), buffer);
  }

  /** Gives the memory back; nobody can open it any more, and who has opened it keeps it. A second time does nothing. */
  close(): void {
    if (!this.mapping.close()) return;
    this.libc.symbols.close(this.address.fd);
    this.libc.close();
  }

  /** {@linkcode Segment.close}, by `using`. */
  [Symbol.dispose](): void {
    this.close();
  }
}

/** A sealed memfd of this size, mapped, with all pages in memory. Leaves nothing open where it fails. */
async function createIn(libc: Libc, size: number): Promise<{ fd: number; mapping: Mapping } | Refusal> {
  const fd = openMemory(libc);
  if (fd < 0) return { refused: `memfd_create: ${lastError(libc)}` };
  const problem = sealedAt(libc, fd, size);
  const mapping = problem ?? Mapping.writable(libc, fd, size);
  const refusal = "refused" in mapping ? mapping : await touch(libc, fd, mapping.buffer);
  if (!refusal) return { fd, mapping: mapping as Mapping };
  if (mapping instanceof Mapping) mapping.close();
  libc.symbols.close(fd);
  return refusal;
}

/** A new memfd. Its memory holds no code, which systems can demand; kernels before 6.3 don't know that yet. */
function openMemory(libc: Libc): number {
  const name = cString(NAME), flags = CLOEXEC | ALLOW_SEALING;
  const fd = libc.symbols.memfd_create(name, flags | NOEXEC_SEAL);
  return fd < 0 ? libc.symbols.memfd_create(name, flags) : fd;
}

/** Gives it its size, for good: memory that another process maps and that shrinks would end that process. */
function sealedAt(libc: Libc, fd: number, size: number): Refusal | undefined {
  const limit = new BigUint64Array(2); // the first is the one in force
  if (libc.symbols.getrlimit(FILE_SIZE, new Uint8Array(limit.buffer)) === 0 && limit[0] < size) {
    return { refused: `a file may have at most ${limit[0]} bytes here (ulimit -f)` }; // SIGXFSZ would end the process
  }
  if (libc.symbols.ftruncate(fd, BigInt(size)) !== 0) return { refused: `ftruncate: ${lastError(libc)}` };
  if (libc.symbols.fcntl(fd, ADD_SEALS, SHRINK | GROW | SEAL) === 0) return undefined;
  return { refused: `sealing: ${lastError(libc)}` };
}

/**
 * Has the system provide all pages: the first touch of one costs more than what is later done in it. First the file's, since
 * that call fails where there is no memory, and a write would end the process; then this process's table of pages.
 */
async function touch(libc: Libc, fd: number, buffer: ArrayBuffer): Promise<Refusal | undefined> {
  const words = new Uint32Array(buffer);
  for (let from = 0; from < buffer.byteLength; from += SLICE) {
    const length = Math.min(SLICE, buffer.byteLength - from);
    const errno = allocate(libc, fd, from, length);
    if (errno !== 0) return { refused: messageOf(libc, errno) };
    for (let at = from; at < from + length; at += SMALLEST_PAGE) words[at / 4] = 0;
    await breathe();
  }
}

/** Has the system provide a part of the file's memory; returns the number of the error, or 0. */
function allocate(libc: Libc, fd: number, from: number, length: number): number {
  let errno: number;
  do errno = libc.symbols.posix_fallocate(fd, BigInt(from), BigInt(length)); while (errno === INTERRUPTED);
  return errno;
}

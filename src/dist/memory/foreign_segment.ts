/**
 * Shared memory, on the side of those who read it.
 *
 * @module
 */

import { addressProblem, GRAIN, hasNonce, NAME, type SegmentAddress, sizeFor, stampsIn } from "./header.ts";
import { cString, lastError, type Libc, openLibc, type Refusal } from "./libc.ts";
import { Mapping } from "./mapping.ts";
import { holds } from "./stamps.ts";

/** `O_RDONLY`, `O_NONBLOCK`, `O_CLOEXEC` of Linux (the same on x86 and ARM). */
const OPEN_FLAGS = 0 | 0o4000 | 0o2000000;
/** `F_GET_SEALS`, `F_SEAL_SHRINK`, `F_SEAL_GROW` in Linux's `fcntl.h`. */
const GET_SEALS = 1034, SHRINK = 2, GROW = 4;
/** `AT_EMPTY_PATH`, `STATX_TYPE | STATX_UID | STATX_SIZE` in Linux's `stat.h`. */
const EMPTY_PATH = 0x1000, STATX_MASK = 0x1 | 0x8 | 0x200;
/** Where the user, the mode and the size stand in `struct statx`, on every processor. */
const STATX_BYTES = 256, STATX_UID = 20, STATX_MODE = 28, STATX_SIZE = 40;
/** `S_IFMT`, `S_IFREG`. */
const TYPE_OF_MODE = 0o170000, REGULAR = 0o100000;

/**
 * Numbers in mapped memory. It is a typed array in truth, and `set` of another one copies from it as fast, but to write to it
 * ends the process: the memory is mapped read-only.
 */
export interface ReadOnlyNumbers extends ArrayLike<number> {
  /** Of all numbers together. */
  readonly byteLength: number;
  /** The same memory, a part of it. */
  subarray(begin?: number, end?: number): ReadOnlyNumbers;
}

/** Another process's {@linkcode Segment}, mapped here. Stays readable when its owner has closed it or is dead. */
export class ForeignSegment implements Disposable {
  private constructor(
    private readonly libc: Libc,
    private readonly mapping: Mapping,
    /** Where it was found. */
    readonly address: SegmentAddress,
  ) {}

  /**
   * Maps the segment at an address from the network, if it is there and is what it must be.
   *
   * @returns the segment, or why it can't be opened: the owner's process is gone, or another user's, or of another container or
   * machine; or the segment is closed, or not what the address says
   */
  static open(address: SegmentAddress): ForeignSegment | Refusal {
    const problem = addressProblem(address);
    if (problem) return { refused: `a segment of shared memory can't be opened: ${problem}` };
    const libc = openLibc();
    if ("refused" in libc) return libc;
    const mapping = mapIn(libc, address);
    if (mapping instanceof Mapping) return new ForeignSegment(libc, mapping, address);
    libc.close();
    const { pid, fd } = address;
    return { refused: `shared memory ${fd} of process ${pid} can't be opened: ${mapping.refused}` };
  }

  /** The contents. Throws once the segment is closed; views from before are empty then. */
  get bytes(): ReadOnlyNumbers {
    return new Uint8Array(this.mapping.buffer, GRAIN, this.address.bytes);
  }

  /** The contents as float32, whole values. */
  get floats(): ReadOnlyNumbers {
    return new Float32Array(this.mapping.buffer, GRAIN, Math.floor(this.address.bytes / 4));
  }

  /** Whether a buffer holds the content of a stamp, now. True before *and* after it was used: what was used counts. */
  holds(buffer: number, stamp: number): boolean {
    return this.mapping.isMapped && holds(stampsIn(this.mapping.buffer), buffer, stamp);
  }

  /** Unmaps it. A second time does nothing. */
  close(): void {
    if (this.mapping.close()) this.libc.close();
  }

  /** {@linkcode ForeignSegment.close}, by `using`. */
  [Symbol.dispose](): void {
    this.close();
  }
}

/** Opens and maps. Leaves nothing open where it fails. */
function mapIn(libc: Libc, { pid, fd, bytes, nonce }: SegmentAddress): Mapping | Refusal {
  const path = cString(`/proc/${pid}/fd/${fd}`);
  const refusal = lookAt(libc, path);
  if (refusal) return refusal;
  const own = libc.symbols.open(path, OPEN_FLAGS);
  if (own < 0) return { refused: lastError(libc) };
  const mapping = check(libc, own, sizeFor(bytes)) ?? Mapping.readOnly(libc, own, sizeFor(bytes));
  libc.symbols.close(own);
  if ("refused" in mapping || hasNonce(mapping.buffer, nonce)) return mapping;
  mapping.close();
  return {
    refused: "it is another segment: that of a process in another container or machine, or of another time",
  };
}

/** Looks where a descriptor leads before it is opened: to open a device or a pipe can have effects. */
function lookAt(libc: Libc, path: Uint8Array<ArrayBuffer>): Refusal | undefined {
  const target = new Uint8Array(64);
  const length = Number(libc.symbols.readlink(path, target, BigInt(target.length)));
  if (length < 0) return { refused: lastError(libc) };
  const text = new TextDecoder().decode(target.subarray(0, length));
  if (!text.startsWith(`/memfd:${NAME}`)) return { refused: "it is no shared memory of flashmob's" };
}

/** Checks what was opened: the link and what it leads to are two things, and only these checks are of the latter. */
function check(libc: Libc, fd: number, size: number): Refusal | undefined {
  const seals = libc.symbols.fcntl(fd, GET_SEALS, 0);
  if (seals < 0) return { refused: "it is no memory" };
  if ((seals & SHRINK) === 0 || (seals & GROW) === 0) return { refused: "its size is not sealed" };
  const stat = new DataView(new ArrayBuffer(STATX_BYTES));
  const failed = libc.symbols.statx(fd, cString(""), EMPTY_PATH, STATX_MASK, new Uint8Array(stat.buffer));
  if (failed !== 0) return { refused: lastError(libc) };
  const type = stat.getUint16(STATX_MODE, true) & TYPE_OF_MODE;
  if (type !== REGULAR) return { refused: "it is no memory" };
  const user = stat.getUint32(STATX_UID, true), we = libc.symbols.geteuid();
  if (user !== we) return { refused: `it belongs to user ${user}, and this process is user ${we}'s` };
  const found = Number(stat.getBigUint64(STATX_SIZE, true));
  if (found !== size) return { refused: `it has ${found} bytes, and not ${size}` };
}

/**
 * The segments of other processes that one process has open.
 *
 * @module
 */

import { ForeignSegment } from "./foreign_segment.ts";
import type { SegmentAddress } from "./header.ts";
import type { Refusal } from "./libc.ts";
import { decodeReference, type Reference } from "./reference.ts";

/** A piece of another process's memory. */
export interface SharedBytes {
  /** Mapped read-only: to write there ends the process. Empty once the segment is closed. */
  readonly bytes: Uint8Array;
  /** Whether it is the piece that was referred to, now. True *after* it was used: what was used counts. */
  holds(): boolean;
}

/** Whether a process's memory can be opened here. */
export function isNeighbour(address: SegmentAddress): true | Refusal {
  const segment = ForeignSegment.open(address);
  if ("refused" in segment) return segment;
  segment.close();
  return true;
}

/** Opens segments when they are first referred to. */
export class Neighbours implements Disposable {
  /** By owner; one each, since a process that has begun anew has another. */
  readonly #open = new Map<string, ForeignSegment>();
  #used = new Set<ForeignSegment>();

  /**
   * The piece that a reference leads to.
   *
   * @param owner name of the process that has sent it
   * @returns the piece, or why its segment can't be opened
   */
  view(owner: string, { address, buffer, stamp, offset, length }: Reference): SharedBytes | Refusal {
    const segment = this.#segmentOf(owner, address);
    if ("refused" in segment) return segment;
    this.#used.add(segment);
    const bytes = segment.bytes.subarray(offset, offset + length) as Uint8Array;
    return { bytes, holds: () => segment.holds(buffer, stamp) };
  }

  /** The same of a reference as it was sent. */
  read(owner: string, sent: Uint8Array): SharedBytes | Refusal {
    const reference = decodeReference(sent);
    return reference ? this.view(owner, reference) : { refused: "what was sent is no reference" };
  }

  /** Closes the segments that were not referred to since the last call: their owners may be gone, and their memory with them. */
  closeUnused(): void {
    for (const [owner, segment] of this.#open) {
      if (this.#used.has(segment)) continue;
      this.#open.delete(owner);
      segment.close();
    }
    this.#used = new Set();
  }

  /** Closes all. */
  [Symbol.dispose](): void {
    this.#used.clear();
    this.closeUnused();
  }

  #segmentOf(owner: string, address: SegmentAddress): ForeignSegment | Refusal {
    const present = this.#open.get(owner);
    if (present?.address.nonce === address.nonce) return present;
    const segment = ForeignSegment.open(address);
    if ("refused" in segment) return segment;
    present?.close();
    this.#open.set(owner, segment);
    return segment;
  }
}

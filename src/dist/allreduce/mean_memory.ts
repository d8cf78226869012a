/**
 * A reducer's parts of the mean in memory that members of its machine read: two buffers, so that one who applies a step late still
 * finds its mean while the next is reduced.
 *
 * @module
 */

import { inGrains } from "../memory/header.ts";
import type { Refusal } from "../memory/libc.ts";
import type { Reference } from "../memory/reference.ts";
import { Segment } from "../memory/segment.ts";
import { BUFFERS } from "../memory/stamps.ts";

/** A part of the mean, encoded. */
export interface MeanPart {
  /** Its bytes. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Where neighbours find it. */
  readonly reference?: Reference;
}

/** Memory for the parts of one mean after the other. */
export class MeanMemory implements Disposable {
  #buffer = 0;
  #stamp = 0;

  private constructor(private readonly segment: Segment, private readonly capacity: number) {}

  /** Takes the memory for means of this many bytes, all of it now; or says why it can't be had. */
  static async create(bytes: number): Promise<MeanMemory | Refusal> {
    const capacity = inGrains(bytes);
    const segment = await Segment.create(BUFFERS * capacity);
    return "refused" in segment ? segment : new MeanMemory(segment, capacity);
  }

  /** Begins another mean. The one before stays valid. */
  begin(): void {
    this.#buffer = BUFFERS - 1 - this.#buffer;
    this.#stamp = this.segment.renew(this.#buffer);
  }

  /** Memory for a part of the present mean; undefined where there is none so far. */
  at(offset: number, length: number): Required<MeanPart> | undefined {
    if (offset < 0 || offset + length > this.capacity) return undefined;
    const from = this.#buffer * this.capacity + offset;
    const { segment: { address, bytes } } = this;
    const reference = { address, buffer: this.#buffer, stamp: this.#stamp, offset: from, length };
    return { bytes: bytes.subarray(from, from + length), reference };
  }

  /** Gives the memory back; who reads it still keeps it. */
  [Symbol.dispose](): void {
    this.segment.close();
  }
}

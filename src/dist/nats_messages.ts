/**
 * Where a NATS connection reads to, so that the client gets each message in one piece: one that comes in several pieces it
 * copies, and more than once.
 *
 * @module
 */

/** What is read goes into slabs of at least this many bytes, one after the other. None is used again: messages stay in them. */
const SLAB = 4 * 1024 * 1024;
/** A slab with less room than this is left. */
const LEAST_ROOM = 256 * 1024;
const LINE_FEED = 10;
/** Of the line break after a message's content. */
const BREAK_BYTES = 2;

const decoder = new TextDecoder();

/** What arrives over a connection, cut between messages of the NATS protocol. */
export class WholeMessages {
  #slab = new Uint8Array(SLAB);
  // Places in the slab: before them all was handed over, is whole, has arrived.
  #taken = 0;
  #whole = 0;
  #arrived = 0;
  /** Where the first message that is not whole ends, where its size is known. */
  #end = 0;

  /** Where to read to: the rest of the message that has begun to arrive has room there. */
  room(): Uint8Array {
    const needed = Math.max(this.#end, this.#arrived + LEAST_ROOM);
    if (needed > this.#slab.length) this.#changeSlab(needed - this.#taken);
    return this.#slab.subarray(this.#arrived);
  }

  /** So many bytes were read to there. */
  note(count: number): void {
    this.#arrived += count;
    while (this.#whole < this.#arrived) {
      if (this.#end <= this.#whole) this.#end = this.#endOfMessage();
      if (this.#end <= this.#whole || this.#end > this.#arrived) return;
      this.#whole = this.#end;
    }
  }

  /** All messages that are whole and were not handed over yet; undefined where there is none. */
  take(): Uint8Array | undefined {
    if (this.#taken === this.#whole) return undefined;
    const messages = this.#slab.subarray(this.#taken, this.#whole);
    this.#taken = this.#whole;
    return messages;
  }

  /** Where the message at {@linkcode #whole} ends: a line, with `MSG … BYTES` or `HMSG … BYTES` and so many bytes; 0 if not known yet. */
  #endOfMessage(): number {
    const from = this.#whole;
    const length = this.#slab.subarray(from, this.#arrived).indexOf(LINE_FEED) + 1;
    if (length === 0) return 0;
    const line = decoder.decode(this.#slab.subarray(from, from + length));
    const bytes = /^H?MSG .* (\d+)\r\n$/i.exec(line)?.[1];
    return from + length + (bytes === undefined ? 0 : Number(bytes) + BREAK_BYTES);
  }

  /** Goes on in a new slab, with what is not handed over yet at its beginning. */
  #changeSlab(length: number): void {
    const rest = this.#slab.subarray(this.#taken, this.#arrived);
    this.#slab = new Uint8Array(Math.max(SLAB, length));
    this.#slab.set(rest);
    const moved = this.#taken;
    this.#taken = 0;
    this.#whole -= moved;
    this.#arrived -= moved;
    this.#end = Math.max(0, this.#end - moved);
  }
}

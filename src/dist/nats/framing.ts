/**
 * Where a NATS connection reads to, so that the client gets each message in one piece: one that comes in several pieces it
 * copies, and more than once. Parts of vectors go into buffers that are reused.
 *
 * @module
 */

import { printableLine } from "../../printable.ts";
import { BufferPool } from "../vectors/buffer_pool.ts";

/** What is read goes into slabs of n bytes, one after the other. None is reused: small messages stay in them. */
const SLAB = 256 * 1024;
/** A slab with less free space than this is replaced. */
const LEAST_ROOM = 32 * 1024;
/** Larger messages get a buffer of their own. */
const LARGE = 64 * 1024;
/** How many bytes of those are kept for reuse: one at a time is read, while another one is decoded. */
const SPARE = 16 * 1024 * 1024;
const LINE_FEED = 10;
/** Bytes of the line break after a message's content. */
const BREAK_BYTES = 2;
/** Where the client's requests are answered. It hands replies over later, so their buffers are not reused. */
const INBOX = "_INBOX.";
/** Beginning of each message of the protocol. */
const BEGINNING = /^(?:INFO |H?MSG |P[IO]NG|\+OK|-ERR)/i;
/** Bytes that suffice to check the beginning. */
const TELLING = 5;
/** Characters that are shown of an invalid message. */
const SHOWN = 60;
/** Most bytes of a line. Most lines are short; INFO names all servers of a cluster. */
const LONGEST_LINE = 64 * 1024;

const decoder = new TextDecoder();

/** A message that is too large for a slab. */
interface LargeMessage {
  bytes: Uint8Array<ArrayBuffer>;
  arrived: number;
  isAnswer: boolean;
}

/** What arrives is not NATS. */
export class ForeignError extends Error {}

/** The data received over a connection, cut between messages of the NATS protocol. */
export class WholeMessages {
  #slab = new Uint8Array(SLAB);
  // Ends, in the slab, of what was taken, of what is whole, and of what has arrived.
  #taken = 0;
  #whole = 0;
  #arrived = 0;
  #large: LargeMessage | undefined;
  /** The large message that was taken last. */
  #handedOver: LargeMessage | undefined;
  readonly #buffers = new BufferPool(SPARE);
  /** The server's limit of a message's content, in bytes. */
  #maxPayload = 0;

  /** Where to read to; never empty. */
  room(): Uint8Array {
    if (this.#large) return this.#large.bytes.subarray(this.#large.arrived);
    if (SLAB - this.#arrived < LEAST_ROOM) this.#changeSlab();
    return this.#slab.subarray(this.#arrived);
  }

  /**
   * n bytes were read into it.
   *
   * @throws {ForeignError} where they are not NATS, or a message is larger than the server's own limit
   */
  note(count: number): void {
    if (this.#large) {
      this.#large.arrived += count;
    } else {
      this.#arrived += count;
      this.#scan();
    }
  }

  /**
   * What is whole and was not handed over yet: some messages, or a large one, whose memory is reused after the next call;
   * undefined where there is none.
   */
  take(): Uint8Array | undefined {
    if (this.#handedOver && !this.#handedOver.isAnswer) this.#buffers.give(this.#handedOver.bytes);
    this.#handedOver = undefined;
    if (this.#taken < this.#whole) {
      const messages = this.#slab.subarray(this.#taken, this.#whole);
      this.#taken = this.#whole;
      return messages;
    }
    const large = this.#large;
    if (!large || large.arrived < large.bytes.length) return undefined;
    this.#large = undefined;
    this.#handedOver = large;
    this.#scan(); // more may have arrived with it
    return large.bytes;
  }

  /** Finds the end of the whole messages in the slab, and moves a large one after them to its own buffer. */
  #scan(): void {
    while (!this.#large && this.#whole < this.#arrived) {
      const message = this.#nextMessage();
      if (!message) return;
      if (message.length > LARGE) return this.#setApart(message);
      if (this.#whole + message.length > this.#arrived) return;
      this.#whole += message.length;
    }
  }

  /** The message that begins where the last whole one ends: a line, with `MSG … BYTES` or `HMSG … BYTES` and that many bytes. */
  #nextMessage(): { length: number; isAnswer: boolean } | undefined {
    const rest = this.#slab.subarray(this.#whole, this.#arrived);
    const lineLength = rest.indexOf(LINE_FEED) + 1;
    if (lineLength === 0 && rest.length < TELLING) return undefined;
    const line = decoder.decode(rest.subarray(0, lineLength || TELLING));
    if (!BEGINNING.test(line)) {
      throw new ForeignError(`it says "${printableLine(line.slice(0, SHOWN).trim())}"`);
    }
    if ((lineLength || rest.length) > LONGEST_LINE) throw new ForeignError("what it says has no end of line");
    if (lineLength === 0) return undefined;
    const [, subject = "", digits] = /^H?MSG (\S+) .*?(\d+)\r\n$/i.exec(line) ?? [];
    if (digits === undefined) this.#noteLimit(line);
    const bytes = digits === undefined ? 0 : this.#checked(Number(digits)) + BREAK_BYTES;
    return { length: lineLength + bytes, isAnswer: subject.startsWith(INBOX) };
  }

  /** A server sends its limit in its first message, and again when it changes. */
  #noteLimit(line: string): void {
    const limit = /^INFO .*"max_payload":\s*(\d+)/i.exec(line)?.[1];
    if (limit !== undefined) this.#maxPayload = Number(limit);
  }

  /** Checks the length of a content, to which a server may add header lines of its own. */
  #checked(bytes: number): number {
    const limit = this.#maxPayload;
    if (bytes <= limit + LONGEST_LINE) return bytes;
    throw new ForeignError(`it announces a message of ${bytes} bytes, and its own limit is ${limit}`);
  }

  #setApart({ length, isAnswer }: { length: number; isAnswer: boolean }): void {
    const here = this.#slab.subarray(this.#whole, Math.min(this.#arrived, this.#whole + length));
    const bytes = isAnswer ? new Uint8Array(length) : this.#buffers.take(length);
    bytes.set(here);
    this.#large = { bytes, arrived: here.length, isAnswer };
    // The data after it moves up in its place.
    this.#slab.copyWithin(this.#whole, this.#whole + here.length, this.#arrived);
    this.#arrived -= here.length;
  }

  /** Continues in a new slab with what is not whole; all before it was handed over. */
  #changeSlab(): void {
    const rest = this.#slab.subarray(this.#taken, this.#arrived);
    this.#slab = new Uint8Array(SLAB);
    this.#slab.set(rest);
    this.#whole -= this.#taken;
    this.#arrived -= this.#taken;
    this.#taken = 0;
  }
}

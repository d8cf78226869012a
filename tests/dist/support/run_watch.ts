/**
 * A watch over a run in this process: where it hangs, its test fails, with what happened last and what every participant has sent;
 * the run is ended then, so that the tests after it are not disturbed.
 *
 * @module
 */

import { KINDS } from "../../../src/dist/protocol/frames.ts";
import type { Transport } from "../../../src/dist/protocol/transport.ts";
import { bounded, LateError } from "./bounded.ts";
import { tapped } from "./tapped.ts";

/** Seconds after which such a run has hung: the longest takes 15, some 40 on a machine with ten times as much to do. */
const LONGEST = 120;

// Where a frame has what is told of it (frames.ts).
const KIND_AT = 9,
  GENERATION_AT = 16,
  STEP_AT = 20,
  RUN_LENGTH_AT = 56,
  SENDER_LENGTH_AT = 57,
  NAMES_FROM = 72;
const NAMES = new Map<number, string>(Object.entries(KINDS).map(([name, number]) => [number, name]));

/** Messages of one kind that one participant has sent. */
interface Sent {
  what: string;
  count: number;
  step: number;
  generation: number;
}

/** The watch over one run. */
export class RunWatch {
  readonly #sent = new Map<string, Sent>();
  readonly #ends: Transport[] = [];

  /**
   * @param events what happens, in order
   * @param seconds after which the run has hung
   */
  constructor(readonly events: readonly unknown[], readonly seconds = LONGEST) {}

  /** A participant's connection, under watch. */
  over(end: Transport): Transport {
    this.#ends.push(end);
    return tapped(end, (data) => this.#note(data));
  }

  /**
   * The promise, as long as it does not take too long.
   *
   * @param what was waited for, as text
   * @throws {LateError} where the run hangs
   */
  async until<T>(what: string, promise: Promise<T>): Promise<T> {
    try {
      return await bounded(
        what,
        promise,
        () => [...this.events.slice(-5), ...this.#sent.values()],
        this.seconds,
      );
    } catch (error) {
      if (error instanceof LateError) await Promise.all(this.#ends.map((end) => end.close()));
      throw error;
    }
  }

  #note(data: Uint8Array): void {
    const view = new DataView(data.buffer, data.byteOffset, data.length);
    const senderFrom = NAMES_FROM + data[RUN_LENGTH_AT];
    const sender = data.subarray(senderFrom, senderFrom + data[SENDER_LENGTH_AT]);
    const what = `${new TextDecoder().decode(sender)}: ${NAMES.get(data[KIND_AT])}`;
    const count = 1 + (this.#sent.get(what)?.count ?? 0);
    const step = view.getUint32(STEP_AT, true), generation = view.getUint32(GENERATION_AT, true);
    this.#sent.set(what, { what, count, step, generation });
  }
}

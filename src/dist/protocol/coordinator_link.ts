/**
 * What a worker knows of the coordinator of its run: whose orders count, and for how long nothing was heard. A coordinator
 * may end and another one take over; then the term rises.
 *
 * @module
 */

import { TransientError } from "../../errors.ts";
import type { Frame, Refusal } from "./frames.ts";
import type { Answer, Transport } from "./transport.ts";
import { GONE_SECONDS } from "./timeouts.ts";

/** Number of a coordinator, and of a set of members under it. */
export type Place = Pick<Frame, "term" | "generation">;

/** How a worker keeps in contact. */
export interface ContactOptions {
  /** Name of the run. */
  run: string;
  /** Seconds between two signs of life. */
  heartbeatSeconds: number;
  /** Seconds without any answer after which there is no hope for another coordinator. */
  silenceSeconds: number;
  /** How it reaches the coordinator. */
  transport: Pick<Transport, "isConnected">;
  /** Told once, when nobody coordinates the run any more; and again only after there was somebody. */
  onLost: () => void;
  /** Told when the connection to the bus is lost, and when it is there again. */
  onCutOff: (isCutOff: boolean) => void;
}

/** The contact of one worker. */
export class CoordinatorLink {
  /** Where the worker belongs, or belonged last. */
  #place: Place;
  /** The latest that was heard of: there may be another coordinator that has not admitted this worker yet. */
  #latest: Place;
  /** Signs of life without an answer, one after the other: counted, since a frozen worker hears nothing either. */
  #unanswered = 0;
  #isHeard = false;
  /** Frames of an earlier coordinator, or to an earlier set of members. */
  #stale = 0;
  /** Frames that did not hold what their kind says. */
  #malformed = 0;
  #isLost = false;
  #isCutOff = false;

  /** A contact that has just begun. */
  constructor(place: Place, readonly options: ContactOptions) {
    this.#place = this.#latest = place;
  }

  /** Where the worker belongs, or belonged last. */
  get place(): Place {
    return this.#place;
  }

  /** How many frames came from an earlier coordinator, or were for an earlier set of members. */
  get stale(): number {
    return this.#stale;
  }

  /** How many frames did not hold what their kind says. */
  get malformed(): number {
    return this.#malformed;
  }

  /** Takes note of a message that is no frame for this worker. */
  refuse({ refused }: Refusal): void {
    if (refused === "malformed") this.#malformed++;
  }

  /** The worker belongs to another place now. */
  move(place: Place): void {
    this.#place = this.#latest = place;
  }

  /**
   * Takes note of who sent a frame.
   *
   * @returns "stale": an earlier coordinator, or one to an earlier set of members; "other": one that has taken over from
   *   that of this worker
   */
  hear({ term, generation }: Place): "stale" | "same" | "other" {
    const latest = this.#latest;
    if (term < latest.term || (term === latest.term && generation < latest.generation)) {
      this.#stale++;
      return "stale";
    }
    this.#latest = { term, generation };
    this.#isHeard = true;
    if (term > this.#place.term) return "other";
    this.#place = this.#latest;
    return "same";
  }

  /**
   * Takes note of a sign of life and its answer, after what was heard with it: what is stale is no answer. While there is no
   * connection nothing was sent, so that nothing was left unanswered.
   *
   * @throws {TransientError} where nothing was heard for too long
   */
  asked(answer: Answer): void {
    this.#noteConnection();
    if (this.#isCutOff) {
      this.#unanswered = 0;
      return;
    }
    if (this.#isHeard) {
      this.#unanswered = 0;
      this.#isHeard = this.#isLost = false;
      return;
    }
    const { run, heartbeatSeconds, silenceSeconds, onLost } = this.options;
    const seconds = ++this.#unanswered * heartbeatSeconds;
    if (!this.#isLost && (answer === "nobody" || seconds >= GONE_SECONDS)) {
      this.#isLost = true;
      onLost();
    }
    if (seconds < silenceSeconds) return;
    throw new TransientError(
      answer === "nobody"
        ? `the coordinator of the run "${run}" is gone, and no other came for ${silenceSeconds} s`
        : `nothing was heard of the coordinator of the run "${run}" for ${silenceSeconds} s`,
    );
  }

  #noteConnection(): void {
    const { transport, onCutOff } = this.options;
    const isCutOff = !transport.isConnected;
    if (isCutOff === this.#isCutOff) return;
    this.#isCutOff = isCutOff;
    onCutOff(isCutOff);
  }
}

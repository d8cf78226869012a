/**
 * A worker's link to the coordinator of its run: which orders are valid, and for how long nothing was heard. When another
 * coordinator takes over, the term rises; orders with a lower term are stale (fencing token: Gray & Cheriton 1989, Kleppmann 2016).
 *
 * @module
 */

import { TransientError } from "../../errors.ts";
import type { Frame, Refusal } from "./frames.ts";
import type { Answer, Transport } from "./transport.ts";
import { GONE_SECONDS } from "./timeouts.ts";

/** Number of the coordinator, and of the set of members under it. */
export type Place = Pick<Frame, "term" | "generation">;

/** Options of a link. */
export interface ContactOptions {
  /** Name of the run. */
  run: string;
  /** Seconds between two heartbeats. */
  heartbeatSeconds: number;
  /** Seconds without any answer after which the worker gives up waiting for another coordinator. */
  silenceSeconds: number;
  /** Connection to the coordinator. */
  transport: Pick<Transport, "isConnected">;
  /** Called once when no coordinator answers any more; again only after one has answered. */
  onLost: () => void;
  /** Called when the connection to the bus is lost, and when it is restored. */
  onCutOff: (isCutOff: boolean) => void;
}

/** The link of one worker. */
export class CoordinatorLink {
  /** Coordinator and set of members that the worker belongs to, or belonged to last. */
  #place: Place;
  /** The latest place that was heard of: another coordinator may not have admitted this worker yet. */
  #latest: Place;
  /** Heartbeats in a row without an answer: counted instead of timed, since a frozen worker hears nothing either. */
  #unanswered = 0;
  #isHeard = false;
  /** Frames of an earlier coordinator, or to an earlier set of members. */
  #stale = 0;
  /** Frames with a payload that does not fit their kind. */
  #malformed = 0;
  #isLost = false;
  #isCutOff = false;

  /** A new link. */
  constructor(place: Place, readonly options: ContactOptions) {
    this.#place = this.#latest = place;
  }

  /** Coordinator and set of members that the worker belongs to, or belonged to last. */
  get place(): Place {
    return this.#place;
  }

  /** Number of frames of an earlier coordinator, or to an earlier set of members. */
  get stale(): number {
    return this.#stale;
  }

  /** Number of frames with a payload that does not fit their kind. */
  get malformed(): number {
    return this.#malformed;
  }

  /** Counts a message that was rejected. */
  refuse({ refused }: Refusal): void {
    if (refused === "malformed") this.#malformed++;
  }

  /** The worker now belongs to another place. */
  move(place: Place): void {
    this.#place = this.#latest = place;
  }

  /**
   * Records the place that a frame came from.
   *
   * @returns "stale": sent by an earlier coordinator, or to an earlier set of members; "other": sent by a coordinator that has taken
   *   over from this worker's
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
   * Records a heartbeat and its answer, after the answer was given to {@linkcode CoordinatorLink.hear}: a stale frame is no answer.
   * Without a connection nothing is sent, and so no answer is missing.
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

/**
 * What the distribution asks of a message bus: at most once, in order for one publisher and subject. `NatsTransport`
 * implements it; the tests have one in memory.
 *
 * @module
 */

import { now } from "./timeouts.ts";
import type { Composition } from "./frames.ts";

/** One message as it arrived. */
export interface Message {
  /** Where it was published. */
  readonly subject: string;
  /** A view that is valid until the receiver returns: who keeps it copies. It need not be aligned. */
  readonly data: Uint8Array;
  /** Answers a request; undefined where the sender did not ask for an answer. */
  readonly respond?: (data: Uint8Array) => void;
}

/** What became of a request: an answer, which is the asker's, nobody who listens on the subject, or no answer in time. */
export type Answer = Uint8Array | "nobody" | "silence";

/** A connection to the bus. */
export interface Transport {
  /** The most bytes of one message. */
  readonly maxPayload: number;
  /**
   * Settles when the connection has ended, with the reason where it was not {@linkcode Transport.close}. A connection
   * that is lost does not end while there is hope: it is made again.
   */
  readonly closed: Promise<Error | undefined>;
  /** False while the connection is lost and not made again: nothing can be heard. */
  readonly isConnected: boolean;
  /** When a lost connection was last made again, in seconds (`clock.ts`); undefined where none was lost. */
  readonly reconnectedAt: number | undefined;
  /** Sends a message to all who listen on the subject. It keeps `data` until it is sent. While the connection is lost, messages are dropped. */
  publish(subject: string, data: Uint8Array): void;
  /** Sends a message that is written within the call into memory that is used for the next one; or lost, without being written. */
  compose(subject: string, message: Composition): void;
  /**
   * Sends a message and waits for one answer. "nobody" comes at once.
   *
   * @throws why the connection has ended, where it was not closed
   */
  request(subject: string, data: Uint8Array, timeoutSeconds: number): Promise<Answer>;
  /**
   * Hands each message on a subject to `receive`. The last token of the subject may be `*`.
   *
   * @returns ends the subscription
   */
  subscribe(subject: string, receive: (message: Message) => void): () => void;
  /** Waits until what was published has reached the bus; not where the connection is lost, nor for long. */
  flush(): Promise<void>;
  /** Sends what was published and ends the connection. */
  close(): Promise<void>;
}

/** Seconds that others have to connect again to a bus that was away: they may notice later that it is back. */
const RETURN_SECONDS = 60;

/** Whether others may be without a connection, since this process was until a while ago: that nobody answers means nothing then. */
export function mayBeCutOff({ isConnected, reconnectedAt = -Infinity }: Transport): boolean {
  return !isConnected || now() - reconnectedAt < RETURN_SECONDS;
}

/** Subjects of a run. What a member may publish has a subject of its own, so that permissions can keep members apart. */
export const subjects = {
  /** What one member publishes; `*` for all. */
  from: (run: string, member: string): string => `flashmob.${run}.from.${member}`,
  /** What only one member gets. */
  to: (run: string, member: string): string => `flashmob.${run}.to.${member}`,
  /** Where a member answers about the state that it has pinned. */
  state: (run: string, member: string): string => `flashmob.${run}.state.${member}`,
  /** Parts of sums and acknowledgements for one who averages, from one member; `*` for all. */
  vectors: (run: string, reducer: string, member: string): string =>
    `flashmob.${run}.vectors.${reducer}.${member}`,
  /** What all members get. */
  all: (run: string): string => `flashmob.${run}.all`,
  /** What one member gets, or all. */
  heardBy: (run: string, member: string | undefined): string =>
    member === undefined ? subjects.all(run) : subjects.to(run, member),
};

/** Name of the sender of the coordinator's frames. */
export const COORDINATOR = "coordinator";

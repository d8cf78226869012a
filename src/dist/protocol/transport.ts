/**
 * The interface of the message bus to the distributed runtime: delivery at most once, in order for one publisher and subject. `NatsTransport`
 * implements it; the tests have one in memory.
 *
 * @module
 */

import { now } from "./timeouts.ts";
import type { Composition } from "./frames.ts";

/** A received message. */
export interface Message {
  /** Subject on which it was published. */
  readonly subject: string;
  /** A view that is valid until the receiver returns: copy it to keep it. It need not be aligned. */
  readonly data: Uint8Array;
  /** Answers a request; undefined where the sender did not ask for an answer. */
  readonly respond?: (data: Uint8Array) => void;
}

/** Result of a request: an answer, which the caller owns; "nobody": no subscriber on the subject; "silence": no answer in time. */
export type Answer = Uint8Array | "nobody" | "silence";

/** A connection to the bus. */
export interface Transport {
  /** The most bytes of one message. */
  readonly maxPayload: number;
  /**
   * Settles when the connection has ended, with the reason where it was not {@linkcode Transport.close}. A connection
   * that is lost does not end as long as it may be restored.
   */
  readonly closed: Promise<Error | undefined>;
  /** False while the connection is lost: nothing can be received. */
  readonly isConnected: boolean;
  /** When a lost connection was last restored, in seconds (`timeouts.ts`); undefined where it was never lost. */
  readonly reconnectedAt: number | undefined;
  /** Sends a message to all subscribers of the subject. It keeps `data` until it is sent. While the connection is lost, messages are dropped. */
  publish(subject: string, data: Uint8Array): void;
  /** Sends a message that is written within the call into a reused buffer; while the connection is lost, it is dropped without being written. */
  compose(subject: string, message: Composition): void;
  /**
   * Sends a message and waits for one answer. "nobody" is returned at once.
   *
   * @throws the reason why the connection has ended, where it was not closed
   */
  request(subject: string, data: Uint8Array, timeoutSeconds: number): Promise<Answer>;
  /**
   * Hands each message on a subject to `receive`. The last token of the subject may be `*`.
   *
   * @returns a function that ends the subscription
   */
  subscribe(subject: string, receive: (message: Message) => void): () => void;
  /** Waits until what was published has reached the bus, with a timeout; returns at once while the connection is lost. */
  flush(): Promise<void>;
  /** Sends what was published and ends the connection. */
  close(): Promise<void>;
}

/** Seconds that other processes have to reconnect to a bus after an outage: they may notice its return later. */
const RETURN_SECONDS = 60;

/** Whether other processes may have no connection, since this one had none recently: then a missing answer proves nothing. */
export function mayBeCutOff({ isConnected, reconnectedAt = -Infinity }: Transport): boolean {
  return !isConnected || now() - reconnectedAt < RETURN_SECONDS;
}

/** Subjects of a run. Each member publishes on its own subject, so that permissions can separate members. */
export const subjects = {
  /** Messages from one member; `*` for all. */
  from: (run: string, member: string): string => `flashmob.${run}.from.${member}`,
  /** Messages to one member. */
  to: (run: string, member: string): string => `flashmob.${run}.to.${member}`,
  /** Requests to a member about the state that it has pinned. */
  state: (run: string, member: string): string => `flashmob.${run}.state.${member}`,
  /** Parts of sums and acknowledgements to a reducer, from one member; `*` for all. */
  vectors: (run: string, reducer: string, member: string): string =>
    `flashmob.${run}.vectors.${reducer}.${member}`,
  /** Messages to all members. */
  all: (run: string): string => `flashmob.${run}.all`,
  /** Means by reference, to those who share memory with their reducer. */
  near: (run: string): string => `flashmob.${run}.near`,
  /** The same means in bytes, to the others. */
  far: (run: string): string => `flashmob.${run}.far`,
  /** Messages to one member, or to all. */
  heardBy: (run: string, member: string | undefined): string =>
    member === undefined ? subjects.all(run) : subjects.to(run, member),
};

/** Name of the sender of the coordinator's frames. */
export const COORDINATOR = "coordinator";

/**
 * A message bus in memory, as far as NATS is like it: messages arrive later, unaligned, in order for each subscriber.
 *
 * @module
 */

import { bytesOf } from "../../../src/dist/protocol/frames.ts";
import { now } from "../../../src/dist/protocol/timeouts.ts";
import type { Answer, Message, Transport } from "../../../src/dist/protocol/transport.ts";

interface Subscription {
  owner: Transport;
  matches: (subject: string) => boolean;
  receive: (message: Message) => void;
}

/** What happens to one message in flight: the messages that arrive, each after a delay in milliseconds. */
export type Weather = (data: Uint8Array, subject: string) => { data: Uint8Array; delay: number }[];

/** Every message arrives once, at once. */
export const fairWeather = (data: Uint8Array) => [{ data, delay: 0 }];

/** The bus; each participant connects to it. */
export class MemoryBus {
  readonly #subscriptions = new Set<Subscription>();
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();
  /** Most bytes that were in flight to one participant at once. */
  mostPending = 0;
  #isAway = false;
  /** Who has no connection, besides. */
  readonly #cutOff = new Set<Transport>();
  readonly #reconnectedAt = new WeakMap<Transport, number>();
  readonly #ends: Transport[] = [];
  readonly #pending = new Map<Transport, number>();
  readonly #inboxes = new Map<string, (data: Uint8Array) => void>();
  #requests = 0;

  constructor(readonly weather: Weather = fairWeather, readonly maxPayload = 1024 * 1024) {}

  /** No participant has a connection: everything sent is lost. */
  get isAway(): boolean {
    return this.#isAway;
  }

  set isAway(isAway: boolean) {
    this.#isAway = isAway;
    for (const end of this.#ends) if (!isAway) this.#reconnectedAt.set(end, now());
  }

  /** One end has no connection, or has one again: what it sends and what is sent to it is lost, and no process listens there. */
  cutOff(end: Transport, isCutOff = true): void {
    if (isCutOff) this.#cutOff.add(end);
    else this.#cutOff.delete(end);
    if (!isCutOff) this.#reconnectedAt.set(end, now());
  }

  connect(): Transport {
    const closed = Promise.withResolvers<Error | undefined>();
    let isClosed = false;
    const isAway = () => this.#isAway || this.#cutOff.has(transport);
    const reconnectedAt = () => this.#reconnectedAt.get(transport);
    const transport: Transport = {
      get isConnected() {
        return !isAway();
      },
      get reconnectedAt() {
        return reconnectedAt();
      },
      maxPayload: this.maxPayload,
      closed: closed.promise,
      publish: (subject, data) => void (isClosed || isAway() || this.#send(subject, data)),
      compose: (subject, message) => {
        if (isClosed || isAway()) return;
        const data = bytesOf(message);
        this.#send(subject, data);
        data.fill(0x5a); // it is used for the next message
      },
      request: (subject, data, timeout) =>
        isClosed ? Promise.resolve("silence") : this.#request(subject, data, timeout, isAway()),
      subscribe: (subject, receive) => {
        const prefix = subject.endsWith("*") ? subject.slice(0, -1) : undefined;
        const matches = (other: string) =>
          prefix === undefined ? other === subject : other.startsWith(prefix);
        const subscription = { owner: transport, matches, receive };
        this.#subscriptions.add(subscription);
        return () => this.#subscriptions.delete(subscription);
      },
      flush: () => Promise.resolve(),
      close: () => {
        for (const subscription of this.#subscriptions) {
          if (subscription.owner === transport) this.#subscriptions.delete(subscription);
        }
        isClosed = true;
        closed.resolve(undefined);
        return Promise.resolve();
      },
    };
    this.#ends.push(transport);
    return transport;
  }

  /** Drops what is still in flight. */
  [Symbol.dispose](): void {
    for (const timer of this.#timers) clearTimeout(timer);
  }

  #send(subject: string, data: Uint8Array, inbox?: string): boolean {
    if (data.length > this.maxPayload) {
      throw new RangeError(`a message of ${data.length} bytes is above max_payload`);
    }
    const subscriptions = [...this.#subscriptions].filter(({ matches, owner }) =>
      matches(subject) && !this.#cutOff.has(owner)
    );
    for (const subscription of subscriptions) {
      for (const arrival of this.weather(data, subject)) {
        this.#deliver(subscription, subject, arrival, inbox);
      }
    }
    return subscriptions.length > 0;
  }

  #deliver(
    { owner, receive }: Subscription,
    subject: string,
    { data, delay }: { data: Uint8Array; delay: number },
    inbox?: string,
  ): void {
    this.#count(owner, data.length);
    const unaligned = new Uint8Array(data.length + 1).subarray(1);
    unaligned.set(data);
    this.#later(delay, () => {
      this.#count(owner, -data.length);
      receive({
        subject,
        data: unaligned,
        respond: inbox === undefined ? undefined : (answer) => {
          for (const { data, delay } of this.weather(answer, inbox)) {
            this.#later(delay, () => this.#inboxes.get(inbox)?.(data));
          }
        },
      });
      unaligned.fill(0xa5); // who has kept it will notice
    });
  }

  #request(subject: string, data: Uint8Array, timeoutSeconds: number, isAway: boolean): Promise<Answer> {
    const inbox = `_INBOX.${this.#requests++}`;
    const { promise, resolve } = Promise.withResolvers<Answer>();
    this.#inboxes.set(inbox, resolve);
    // Without a server nothing could tell that no process listens.
    if (!isAway && !this.#send(subject, data, inbox)) resolve("nobody");
    const timer = this.#later(timeoutSeconds * 1000, () => resolve("silence"));
    return promise.finally(() => {
      clearTimeout(timer);
      this.#timers.delete(timer);
      this.#inboxes.delete(inbox);
    });
  }

  #later(delay: number, callback: () => void): ReturnType<typeof setTimeout> {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      callback();
    }, delay);
    this.#timers.add(timer);
    return timer;
  }

  #count(owner: Transport, bytes: number): void {
    const pending = (this.#pending.get(owner) ?? 0) + bytes;
    this.#pending.set(owner, pending);
    this.mostPending = Math.max(this.mostPending, pending);
  }
}

/**
 * One all-reduce over slow links, by a clock on paper: how long it takes and what is sent twice depends on nothing but window, parts,
 * links and how long processors take.
 *
 * @module
 */

import { ReduceWindow } from "../../../src/dist/allreduce/window.ts";
import { codecOf } from "../../../src/dist/vectors/codecs.ts";
import { FeedbackEncoder } from "../../../src/dist/vectors/error_feedback.ts";
import type { Frame } from "../../../src/dist/protocol/frames.ts";
import { BLOCK } from "../../../src/dist/vectors/sums.ts";
import type { LinkOptions } from "./slow_link.ts";
import type { CodecName } from "../../../src/dist/vectors/codec.ts";

/** What is averaged over what. */
export interface Network {
  codec: CodecName;
  values: number;
  workers: number;
  partBytes: number;
  windowBytes: number;
  /** After how long a part that got no answer is sent again. */
  patienceSeconds: number;
  /** Between each worker and the server. */
  link: LinkOptions;
  /** Whether the coordinator is behind such a link, too, or beside the server. */
  isFar: boolean;
  /** What processors take; by default no time. */
  service?: Partial<ServiceTimes>;
}

/** Seconds of processor time. */
export interface ServiceTimes {
  /** Of the coordinator, for a part of a sum. */
  part: number;
  /** Of the coordinator, for an acknowledgement. */
  ack: number;
  /** Of the server, for a message to or from one process. */
  message: number;
}

/** How it went. */
export interface Passage {
  /** From the first pull to the last acknowledgement. */
  seconds: number;
  /** What the bytes need at least on the busiest link. */
  least: number;
  /** Payload that was sent again, as a share of what had to be sent. */
  repeated: number;
}

/** Bytes of a message besides its payload. */
const HEADER = 100;
/** Seconds between two looks at the clock, and between two heartbeats. */
const TICK = 0.1, HEARTBEAT = 1;
/** An all-reduce that takes longer has stalled. */
const LONGEST = 10_000;

/** Something that happens at some time; of two at the same time the first that was planned. */
interface Planned {
  at: number;
  number: number;
  act: () => void;
}

function isBefore(one: Planned, other: Planned): boolean {
  return one.at < other.at || (one.at === other.at && one.number < other.number);
}

/** A clock, and what happens when: a binary heap, the next event first. */
class Paper {
  now = 0;
  readonly #events: Planned[] = [];
  #planned = 0;

  at(at: number, act: () => void): void {
    const event = { at, number: this.#planned++, act }, events = this.#events;
    let i = events.length;
    for (let parent = (i - 1) >> 1; i > 0 && isBefore(event, events[parent]); parent = (i - 1) >> 1) {
      events[i] = events[parent];
      i = parent;
    }
    events[i] = event;
  }

  #next(): Planned {
    const events = this.#events, [next] = events, last = events.pop()!;
    if (events.length === 0) return next;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child + 1 < events.length && isBefore(events[child + 1], events[child])) child++;
      if (child >= events.length || !isBefore(events[child], last)) break;
      events[i] = events[child];
      i = child;
    }
    events[i] = last;
    return next;
  }

  run(isOver: () => boolean): void {
    while (!isOver()) {
      const event = this.#next();
      this.now = event.at;
      if (this.now > LONGEST) throw new Error("the all-reduce has stalled");
      event.act();
    }
  }
}

/** One direction of a link: messages one after the other. */
class Line {
  #freeAt = 0;

  constructor(readonly paper: Paper, readonly link: LinkOptions) {}

  send(bytes: number, arrive: () => void): void {
    const { paper, link: { bytesPerSecond, delaySeconds } } = this;
    this.#freeAt = Math.max(this.#freeAt, paper.now) + (bytes + HEADER) / bytesPerSecond;
    paper.at(this.#freeAt + delaySeconds, arrive);
  }
}

/** Work one piece after the other. */
class Processor {
  #freeAt = 0;

  constructor(readonly paper: Paper) {}

  work(seconds: number, done: () => void): void {
    this.#freeAt = Math.max(this.#freeAt, this.paper.now) + seconds;
    this.paper.at(this.#freeAt, done);
  }
}

/** All-reduces a vector of zeros. */
export function average(network: Network): Passage {
  const { values, workers, partBytes, windowBytes, patienceSeconds, link, isFar } = network;
  const { part: partTime = 0, ack: ackTime = 0, message: messageTime = 0 } = network.service ?? {};
  const codec = codecOf(network.codec), paper = new Paper();
  const reducer = new Processor(paper), server = new Processor(paper);
  const linesOf = (link: LinkOptions) => ({ up: new Line(paper, link), down: new Line(paper, link) });
  const coordinator = linesOf(isFar ? link : { bytesPerSecond: Infinity, delaySeconds: 0 });
  const names = Array.from({ length: workers }, (_, i) => `worker-${i}`);
  const lines = new Map(names.map((name) => [name, linesOf(link)]));
  const heardAt = new Map<string, number>();
  const partElements = Math.floor(partBytes / codec.byteLength(BLOCK)) * BLOCK;
  const lengthOf = (part: number) => codec.byteLength(Math.min(partElements, values - part * partElements));
  const zeros = new Uint8Array(codec.byteLength(partElements));
  let carried = 0, isDone = false;
  /** From a worker, by way of the server, to be handled in this time. */
  const tell = (name: string, bytes: number, seconds: number, arrive: () => void) =>
    lines.get(name)!.up.send(
      bytes,
      () =>
        server.work(2 * messageTime, () =>
          coordinator.down.send(bytes, () =>
            reducer.work(seconds, () => {
              heardAt.set(name, paper.now);
              arrive();
            }))),
    );
  /** To workers: one message as far as the server. */
  const order = (to: readonly string[], bytes: number, arrive: (name: string) => void) =>
    coordinator.up.send(bytes, () =>
      server.work((1 + to.length) * messageTime, () => {
        for (const name of to) lines.get(name)!.down.send(bytes, () => arrive(name));
      }));
  const sums = names.map((member, i) => ({ member, lo: i, hi: i + 1 }));
  const parts = Array.from({ length: Math.ceil(values / partElements) }, (_, part) => part);
  const sizes = { step: 1, leaves: workers, values, parts, partElements, windowBytes, patienceSeconds };
  const averaging: ReduceWindow = new ReduceWindow(sums, names, 1, sizes, new FeedbackEncoder(codec), {
    pull: ({ member, lo, hi }, part) =>
      order([member], 0, () => {
        const payload = zeros.subarray(0, lengthOf(part));
        carried += payload.length;
        const frame = { kind: "sum", sender: member, lo, hi, part, codec: codec.name, payload } as Frame;
        tell(member, payload.length, partTime, () => averaging.receive(frame, paper.now));
      }),
    isNear: () => false,
    share: () => undefined,
    sendMean: (part, { bytes: { length } }, member) =>
      order(member ? [member] : names, length, (name) => {
        carried += length;
        tell(name, 0, ackTime, () => averaging.acknowledge(name, part, paper.now));
      }),
    pulled: () => {},
    heardAt: (member) => heardAt.get(member) ?? 0,
    done: () => isDone = true,
  });
  const every = (seconds: number, act: () => void) => {
    const again = () => {
      act();
      paper.at(paper.now + seconds, again);
    };
    paper.at(paper.now + seconds, again);
  };
  every(TICK, () => averaging.tick(paper.now));
  every(HEARTBEAT, () => names.forEach((name) => tell(name, 0, 0, () => {})));
  averaging.advance(0);
  paper.run(() => isDone);
  const bytes = codec.byteLength(values);
  return {
    seconds: paper.now,
    least: bytes * (isFar ? workers : 1) / link.bytesPerSecond,
    repeated: carried / (2 * bytes * workers) - 1,
  };
}

/**
 * A coordinator's real code with synthetic members: no network, no model, ready-made vectors. What the members do is left out of the
 * coordinator's CPU time.
 *
 * @module
 */

import process from "node:process";
import { setImmediate, setTimeout } from "node:timers/promises";
import { coordinate } from "../../../src/dist/coordinator.ts";
import { bytesOf, composeFrame, type FrameFields } from "../../../src/dist/protocol/frames.ts";
import { decodeMessage, encodeControl, type Received } from "../../../src/dist/protocol/messages.ts";
import type { Message, Transport } from "../../../src/dist/protocol/transport.ts";
import { COORDINATOR, subjects } from "../../../src/dist/protocol/transport.ts";
import type { CoordinationPlan } from "../../../src/dist/replica/plan.ts";
import { NO_TRAFFIC } from "../../../src/dist/state/traffic.ts";
import { BLOCK } from "../../../src/dist/vectors/sums.ts";
import type { Range } from "../../../src/dist/vectors/tree.ts";
import { CONFIG_HASH, toyIdentity, toyPlan } from "./toy.ts";

/** What the coordinator has to do. */
export interface CrowdOptions {
  members: number;
  /** Parts of the vector, each of one block. */
  parts: number;
  /** Most bytes in flight. */
  windowBytes: number;
  /** Steps, and those before the ones that count. */
  steps: number;
  warmUp: number;
  /** Whether the last member answers only when all others have to wait for it. */
  straggles: boolean;
  /** Seconds in which the members compute a step: nothing but heartbeats arrives. Without it each sends one, however busy the machine is. */
  computing?: number;
  /** Called now and then while vectors travel, and where all wait for the straggler. */
  look?: () => void;
}

/** Messages that are written before they are handed over, so that both can be told apart. */
const BATCH = 64;
/** Milliseconds between two looks for something to do. */
const IDLE = 10;
/** Micro-batches of each member. */
const EACH = 4;

/** A message from a member; written when its turn comes. */
type Letter = { subject: string; write: () => Uint8Array };

/** Seconds of CPU that this process has used. */
function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

/** Runs some steps, and returns the coordinator's CPU time in the steps that count, in seconds. */
export async function runCrowd(options: CrowdOptions): Promise<number> {
  return await new Crowd(options).run();
}

class Crowd {
  readonly #plan: CoordinationPlan;
  readonly #names: string[];
  readonly #receivers: { subject: string; receive: (message: Message) => void }[] = [];
  /** What the coordinator has sent and no member has read yet. */
  readonly #sent: { subject: string; data: Uint8Array }[] = [];
  #letters: Letter[] = [];
  /** Index of the next one. */
  #next = 0;
  /** Letters of the straggler. */
  #late: Letter[] = [];
  readonly #buffers = Array.from({ length: BATCH }, () => new Uint8Array(4 * BLOCK + 512));
  readonly #payload: Uint8Array;
  readonly #closed = Promise.withResolvers<Error | undefined>();
  #generation = 0;
  /** Steps that have ended. */
  #step = 0;
  #membersCpu = 0;
  /** Batches between two looks, of which there are two for each part. */
  readonly #lookEvery: number;
  #delivered = 0;

  constructor(readonly options: CrowdOptions) {
    const { members, windowBytes } = options;
    this.#names = Array.from({ length: members }, (_, i) => `worker-${i}`);
    this.#payload = new Uint8Array(new Float32Array(BLOCK).fill(1e-3).buffer);
    this.#lookEvery = Math.max(1, members / BATCH);
    this.#plan = toyPlan({
      steps: 1_000_000,
      microBatches: EACH * members,
      startWorkers: members,
      partBytes: this.#payload.length,
      windowBytes,
      evaluation: { every: 0, microBatches: 0 },
      heartbeatSeconds: options.computing ? 1 : 600,
      patienceSeconds: 600,
      silenceSeconds: 600,
    });
  }

  async run(): Promise<number> {
    const { warmUp, steps } = this.options;
    const ended = coordinate(this.#transport(), this.#plan, { sharesMemory: false }).then(() => {}, () => {});
    await setImmediate();
    this.#write(this.#names, (name) => this.#join(name));
    await this.#workUntil(warmUp);
    const beat = () => this.#byMembers(() => this.#write(this.#names, (name) => this.#status(name)));
    const heartbeats = setInterval(beat, 1000 * this.#plan.heartbeatSeconds);
    const begin = cpuSeconds();
    this.#membersCpu = 0;
    await this.#workUntil(steps);
    const spent = cpuSeconds() - begin - this.#membersCpu;
    clearInterval(heartbeats);
    this.#closed.resolve(new Error("enough"));
    await ended;
    return spent;
  }

  /** Hands letters over, and lets the members read what was sent, until this many steps have ended. */
  async #workUntil(steps: number): Promise<void> {
    for (let batch = 1; this.#step < steps; batch++) {
      const messages = this.#byMembers(() => this.#nextBatch());
      if (batch % this.#lookEvery === 0) this.options.look?.();
      for (const message of messages) this.#deliver(message);
      await (messages.length > 0 ? setImmediate() : setTimeout(IDLE));
    }
  }

  /** The members read what was sent to them, and write. */
  #nextBatch(): Message[] {
    this.#readAll();
    if (this.#next === this.#letters.length) {
      this.#letters = this.#late;
      this.#next = 0;
      if (this.#late.length > 0) this.options.look?.();
      this.#late = [];
    }
    return this.#letters.slice(this.#next, this.#next = Math.min(this.#next + BATCH, this.#letters.length))
      .map(({ subject, write }, i) => {
        const data = write();
        this.#buffers[i].set(data);
        return { subject, data: this.#buffers[i].subarray(0, data.length), respond: () => {} };
      });
  }

  #byMembers<T>(work: () => T): T {
    const begin = cpuSeconds();
    try {
      return work();
    } finally {
      this.#membersCpu += cpuSeconds() - begin;
    }
  }

  #deliver(message: Message): void {
    for (const { subject, receive } of this.#receivers) {
      const isIts = message.subject.startsWith(subject.slice(0, -1));
      if (isIts) receive(message);
    }
    this.#delivered++;
  }

  #join(name: string): Uint8Array {
    return encodeControl(this.#fields(name, "join"), {
      nonce: name,
      id: this.#plan.id,
      identity: toyIdentity(BLOCK * this.options.parts),
      configHash: CONFIG_HASH,
      stateHash: "a".repeat(64),
      atHome: true,
      device: "cpu",
    });
  }

  #status(name: string): Uint8Array {
    const message = { phase: "computing", progress: this.#delivered, traffic: NO_TRAFFIC };
    return encodeControl(this.#fields(name, "status"), message);
  }

  #fields<K extends FrameFields["kind"]>(sender: string, kind: K): FrameFields & { kind: K } {
    return { kind, sender, run: this.#plan.run, term: 1, generation: this.#generation, step: this.#step };
  }

  /** Letters of these members to the coordinator. */
  #write(names: readonly string[], write: (name: string) => Uint8Array, subject = subjects.from): void {
    for (const from of names) {
      const letter = { subject: subject(this.#plan.run, from), write: () => write(from) };
      const isLate = this.options.straggles && from === this.#names.at(-1) && subject !== subjects.from;
      (isLate ? this.#late : this.#letters).push(letter);
    }
  }

  #readAll(): void {
    for (const { subject, data } of this.#sent.splice(0)) {
      const frame = decodeMessage(data, this.#plan.run);
      if ("refused" in frame) throw new Error(`the coordinator sent a message that is ${frame.refused}`);
      const name = subject.slice(subject.lastIndexOf(".") + 1);
      this.#read(frame, subject === subjects.all(this.#plan.run) ? this.#names : [name]);
    }
  }

  /** What members do about a message. */
  #read(frame: Received, members: readonly string[]): void {
    const { generation, step, openedIn, leaves, lo, hi, part, parts } = frame;
    const vectors = (run: string, name: string) => subjects.vectors(run, COORDINATOR, name);
    this.#generation = Math.max(this.#generation, generation);
    switch (frame.kind) {
      case "assign":
        return this.#compute(members, frame.message.ranges);
      case "pull":
        return this.#write(members, (name) =>
          bytesOf(composeFrame({
            ...this.#fields(name, "sum"),
            ...{ step, lo, hi, part, parts, finite: true, codec: "float32", payload: this.#payload },
          })), vectors);
      case "mean":
        return this.#write(
          members,
          (name) => bytesOf(composeFrame({ ...this.#fields(name, "ack"), step, openedIn, leaves, part })),
          vectors,
        );
      case "commit":
        this.#step = step;
        return this.#write(members, (name) => this.#status(name));
    }
  }

  /** Members have computed their shares, each at its own speed, which changes a little with every step. */
  #compute(members: readonly string[], ranges: readonly Range[]): void {
    const offer = () => {
      this.#write(members, (name) => this.#status(name));
      for (const [lo, hi] of ranges) this.#write(members, (name) => this.#offer(name, lo, hi));
    };
    const { computing } = this.options;
    if (computing) setTimeout(1000 * computing).then(() => this.#byMembers(offer));
    else offer();
  }

  #offer(name: string, lo: number, hi: number): Uint8Array {
    const microBatches = Array.from(
      { length: hi - lo },
      (_, i) => ({ crc: lo + i, lossSum: 1, tokens: 1, finite: true }),
    );
    const seconds = (hi - lo) * (1 + 0.05 * Math.random());
    const fields = { ...this.#fields(name, "offer"), step: this.#step + 1, lo, hi };
    return encodeControl(fields, { microBatches, seconds });
  }

  #transport(): Transport {
    const send = (subject: string, data: Uint8Array) => void this.#sent.push({ subject, data });
    return {
      maxPayload: 1024 * 1024,
      closed: this.#closed.promise,
      isConnected: true,
      reconnectedAt: undefined,
      publish: send,
      compose: (subject, message) => send(subject, bytesOf(message)),
      request: (subject) => Promise.resolve(subject.endsWith(`.${COORDINATOR}`) ? "nobody" : "silence"),
      subscribe: (subject, receive) => {
        this.#receivers.push({ subject, receive });
        return () => {};
      },
      flush: () => Promise.resolve(),
      close: () => Promise.resolve(),
    };
  }
}

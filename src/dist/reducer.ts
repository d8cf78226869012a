/**
 * A reducer: reduces its share of the parts of the vectors in place of the coordinator, which tells it the sums of the open step and
 * the other reducers. Another reducer can redo its work: members keep their sums until the commit. Only its residuals of error
 * feedback are lost with it.
 *
 * @module
 */

import { RunError } from "../errors.ts";
import { now } from "./protocol/timeouts.ts";
import { checksumOfNames } from "./protocol/checksums.ts";
import { codecOf } from "./vectors/codecs.ts";
import { CoordinatorLink } from "./protocol/coordinator_link.ts";
import type { Frame, FrameFields } from "./protocol/frames.ts";
import { askUntilDecided } from "./worker/join.ts";
import {
  decodeMessage,
  encodeControl,
  errorOf,
  type Messages,
  type ReceivedOf,
} from "./protocol/messages.ts";
import { decodeOrder, isSoundForReducer } from "./protocol/order_checks.ts";
import { ResidualKeeper, type ResidualPlace } from "./allreduce/residuals.ts";
import { ReduceSide } from "./allreduce/reduce_side.ts";
import { type Message, subjects, type Transport } from "./protocol/transport.ts";
import type { SegmentAddress } from "./memory/header.ts";
import { Segment } from "./memory/segment.ts";

/** Milliseconds between two looks at the clock. */
const TICK = 100;

/** Options of a reducer. */
export interface ServeReducerOptions {
  /** Name of the run. */
  run: string;
  /** Name of this process, unique in the run: 1 to 64 letters, digits, _ and -. */
  reducer: string;
  /** Where it saves residuals of the mean with each checkpoint; undefined: they are lost with the process. */
  residuals?: ResidualPlace;
  /** False: sums and means travel also to members of this machine. */
  sharesMemory?: boolean;
  /** Leaves the run, which continues without this reducer. */
  signal?: AbortSignal;
  /** Receives the events of the reducer. */
  onEvent?: (event: ReducerEvent) => void;
}

/** Events of a reducer. */
export type ReducerEvent =
  | { kind: "joined" }
  /** Sums and means travel, since memory can't be shared with the members of this machine, and why. */
  | { kind: "by messages"; reason: string }
  /** The residuals of the mean are lost, or would be after a resume. */
  | { kind: "residualsDropped"; reason: string }
  /** No coordinator answers: this reducer waits for another one. */
  | { kind: "alone" }
  /** The connection to the bus is lost, or restored. */
  | { kind: "cut off"; isCutOff: boolean };

/**
 * Reduces for a run until it ends, or until the signal.
 *
 * @throws {RunError} where the run has no coordinator and none takes over, or the run ends with an error
 *
 * @example
 * ```ts ignore
 * await runReducer(await connectNats(url, "reducer"), { run: "demo", reducer: "reducer-7f3a" });
 * ```
 */
export async function runReducer(transport: Transport, options: ServeReducerOptions): Promise<void> {
  const { run, reducer, signal } = options;
  if (signal?.aborted) return;
  using memory = await smallSegment(options);
  const request = encodeControl({ kind: "reducer", run, sender: reducer }, {
    blockedSeconds: {},
    memory: memory?.address,
    malformedOrders: 0,
  });
  const answer = await askUntilDecided(transport, run, reducer, request, ["reduce", "finish"], signal);
  if (answer.kind !== "reduce") return; // the run has ended
  await new Reducer(transport, options, answer, memory?.address).serve();
}

/** Memory by which the coordinator finds out whether it is on this machine; undefined where there is none, which is reported. */
async function smallSegment({ sharesMemory, onEvent }: ServeReducerOptions): Promise<Segment | undefined> {
  if (sharesMemory === false) return undefined;
  const memory = await Segment.create(1);
  if (!("refused" in memory)) return memory;
  onEvent?.({ kind: "by messages", reason: memory.refused });
}

class Reducer {
  readonly #link: CoordinatorLink;
  readonly #ended = Promise.withResolvers<void>();
  readonly #heartbeatSeconds: number;
  /** The step after which the run continues, where it was resumed; else 0. */
  readonly #startStep: number;
  /** The exchange of the own parts; replaced where another coordinator has taken over. */
  #vectors: ReduceSide;
  #residuals: ResidualKeeper;
  /** The generation in which the coordinator has admitted this reducer. */
  #joinedGeneration: number;
  /** When each member was last heard of, by this reducer or by the coordinator, in seconds. */
  readonly #heardAt = new Map<string, number>();
  /** Whether it shares memory with the coordinator's neighbours. */
  #isNear: boolean;

  constructor(
    readonly transport: Transport,
    readonly options: ServeReducerOptions,
    welcome: ReceivedOf<"reduce">,
    readonly memory: SegmentAddress | undefined,
  ) {
    const order = welcome.message;
    this.#isNear = order.isNear;
    const { heartbeatSeconds, silenceSeconds, joinedGeneration, startStep } = order;
    const { run, onEvent } = options;
    this.#link = new CoordinatorLink(welcome, {
      run,
      heartbeatSeconds,
      silenceSeconds,
      transport,
      onLost: () => onEvent?.({ kind: "alone" }),
      onCutOff: (isCutOff) => onEvent?.({ kind: "cut off", isCutOff }),
    });
    this.#heartbeatSeconds = heartbeatSeconds;
    this.#joinedGeneration = joinedGeneration;
    this.#startStep = startStep;
    this.#vectors = this.#exchangeOf(order);
    this.#residuals = this.#keeperOf(this.#vectors);
  }

  /** Reduces until the run ends. */
  async serve(): Promise<void> {
    await this.#residuals.resume(this.#startStep);
    const { transport, options: { run, reducer, signal, onEvent } } = this;
    const unsubscribes = [
      transport.subscribe(
        subjects.to(run, reducer),
        (message) => this.#guard(() => this.#receive(message.data)),
      ),
      transport.subscribe(
        subjects.vectors(run, reducer, "*"),
        (message) => this.#guard(() => this.#receivePart(message)),
      ),
    ];
    const beat = () => this.#beat().catch((error) => this.#ended.reject(error));
    const heartbeats = setInterval(beat, 1000 * this.#heartbeatSeconds);
    const ticks = setInterval(() => transport.isConnected && this.#vectors.tick(now()), TICK);
    const leave = () => this.#ended.resolve();
    signal?.addEventListener("abort", leave);
    if (signal?.aborted) leave(); // while it joined
    transport.closed.then((error) =>
      this.#ended.reject(error ?? new RunError("the connection to the NATS server was closed"))
    );
    try {
      onEvent?.({ kind: "joined" });
      beat(); // the answer repeats orders that were sent before this reducer subscribed
      await this.#ended.promise;
    } finally {
      signal?.removeEventListener("abort", leave);
      clearInterval(heartbeats);
      clearInterval(ticks);
      this.#vectors[Symbol.dispose]();
      for (const unsubscribe of unsubscribes) unsubscribe();
      transport.publish(subjects.from(run, reducer), encodeControl(this.#fields("leave"), {}));
      await transport.flush();
      await this.#residuals.idle();
    }
  }

  /** An exception in a callback would be lost. */
  #guard(callback: () => void): void {
    try {
      callback();
    } catch (error) {
      this.#ended.reject(error);
    }
  }

  /** Common fields of this reducer's frames. */
  #fields<K extends Frame["kind"]>(kind: K): FrameFields & { kind: K } {
    const { run, reducer: sender } = this.options;
    const { term, generation } = this.#link.place;
    return { kind, run, sender, term, generation };
  }

  /** One message from the coordinator. */
  #receive(data: Uint8Array): void {
    const frame = decodeOrder(data, this.options.run, isSoundForReducer);
    if ("refused" in frame) return this.#link.refuse(frame);
    const sender = this.#link.hear(frame);
    if (sender === "stale") return;
    if (frame.kind === "reduce") {
      const order = frame.message;
      if (sender === "other") this.#link.move(frame);
      if (sender === "other" || order.joinedGeneration !== this.#joinedGeneration) this.#restart(order);
      this.#obey(order);
    }
    if (frame.kind === "save" && sender !== "other") { // another coordinator does not know what was applied
      const { appliedStep, members } = frame.message;
      this.#close(appliedStep);
      this.#residuals.save(frame.step, members);
    }
    if (frame.kind === "finish") {
      const error = errorOf(frame.message);
      if (error) this.#ended.reject(error);
      else this.#ended.resolve();
    }
  }

  /** Continues with the sums that the order names. */
  #obey(order: Messages["reduce"]): void {
    const { silent, work, isNear } = order;
    this.#isNear = isNear;
    const time = now();
    for (const [member, seconds] of Object.entries(silent)) this.#noteHeard(member, time - seconds);
    if (!work) return;
    const { open } = this.#vectors;
    if (open && (open.step !== work.step || open.openedIn !== work.openedIn)) this.#close(work.appliedStep);
    this.#residuals.open(work.step, checksumOfNames(work.members));
    this.#vectors.reduce(work, time);
  }

  /** Discards the open step and all residuals. */
  #restart(order: Messages["reduce"]): void {
    this.#joinedGeneration = order.joinedGeneration;
    this.#vectors[Symbol.dispose]();
    this.#vectors = this.#exchangeOf(order);
    this.#residuals = this.#keeperOf(this.#vectors);
  }

  /** Ends the open step. */
  #close(appliedStep: number): void {
    this.#vectors.close(this.#vectors.open?.step === appliedStep);
  }

  #keeperOf({ encoder }: ReduceSide): ResidualKeeper {
    const { residuals, onEvent } = this.options;
    return new ResidualKeeper(
      encoder,
      residuals,
      (reason) => onEvent?.({ kind: "residualsDropped", reason }),
    );
  }

  #exchangeOf({ partElements, windowBytes, heartbeatSeconds, codec }: Messages["reduce"]) {
    const { transport, options: { run, reducer, onEvent } } = this;
    const patienceSeconds = 2 * heartbeatSeconds;
    const sizes = { partElements, windowBytes, patienceSeconds };
    return new ReduceSide(reducer, sizes, codecOf(codec), {
      fields: (kind) => this.#fields(kind),
      send: (frame, subject) => transport.compose(subject, frame),
      heardAt: (member) => this.#heardAt.get(member) ?? 0,
      pulled: () => {},
      reduced: (report) =>
        transport.publish(subjects.from(run, reducer), encodeControl(this.#fields("reduced"), report)),
      cantShare: (reason) => onEvent?.({ kind: "by messages", reason }),
    }, () => this.#isNear);
  }

  /** A part of a sum, or the acknowledgement of one of the mean. */
  #receivePart({ data, subject }: Message): void {
    const { run, reducer } = this.options;
    const frame = decodeMessage(data, run);
    if ("refused" in frame || subject !== subjects.vectors(run, reducer, frame.sender)) return;
    if (frame.kind !== "sum" && frame.kind !== "ack") return;
    this.#noteHeard(frame.sender, now());
    this.#vectors.receive(frame, now());
  }

  #noteHeard(member: string, at: number): void {
    this.#heardAt.set(member, Math.max(at, this.#heardAt.get(member) ?? 0));
  }

  /** Sends a heartbeat; the answer is the order that is still pending. */
  async #beat(): Promise<void> {
    const { run, reducer } = this.options;
    const time = now();
    const blocked = [...this.#vectors.blockedSince() ?? []].map(([member, since]) => [member, time - since]);
    const { malformed: malformedOrders } = this.#link;
    const blockedSeconds = Object.fromEntries(blocked);
    const message = { blockedSeconds, memory: this.memory, malformedOrders };
    const status = encodeControl(this.#fields("reducer"), message);
    const answer = await this.transport.request(
      subjects.from(run, reducer),
      status,
      this.#heartbeatSeconds,
    );
    this.#guard(() => {
      if (answer instanceof Uint8Array) this.#receive(answer);
      this.#link.asked(answer);
    });
  }
}

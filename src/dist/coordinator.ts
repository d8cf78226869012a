/**
 * The coordinator: it tells workers who computes what, averages what they computed, and ends each step. It holds no
 * model. What it decides is in `membership.ts` and `stages.ts`, how vectors travel in `averaging.ts`; here both meet
 * the message bus, the clock and the caller.
 *
 * @module
 */

import { RunError } from "../errors.ts";
import { layoutOf } from "../layout.ts";
import { Averaging } from "./averaging.ts";
import { codecOf } from "./codecs/codecs.ts";
import { FeedbackEncoder } from "./codecs/feedback_encoder.ts";
import { decodeFrame, encodeFrame, type Frame, MAX_HEADER_BYTES, type Refusal } from "./frames.ts";
import { reasonToWait } from "./boundary.ts";
import { advance } from "./membership.ts";
import { eventOf, type MembershipEvent } from "./membership_events.ts";
import { encodeControl } from "./messages.ts";
import type { CoordinationPlan, DistEvent, RunOutcome } from "./plan.ts";
import { BLOCK } from "./reduction.ts";
import {
  type Action,
  initialState,
  isAwaited,
  type OfferedSum,
  type Order,
  orderForCandidate,
  orderOf,
  type RunState,
} from "./run_state.ts";
import { type Message, subjects, type Transport } from "./transport.ts";

/** Milliseconds between two looks at the clock. */
const TICK = 100;
/** Seconds between two looks after which this process itself was held up, and can't tell who was silent. */
const DEAF_SECONDS = 1;
/** Seconds that another coordinator has to answer. */
const RIVAL_TIMEOUT = 0.5;
/** Name of the sender of the coordinator's frames. */
const COORDINATOR = "coordinator";

/** How a coordination is watched and stopped. */
export interface CoordinateOptions {
  /** Stops the run: the open step is finished, a checkpoint is saved, everybody leaves. */
  signal?: AbortSignal;
  /** Gets what happens. */
  onEvent?: (event: DistEvent) => void;
  /** Called once workers can join. */
  onListening?: () => void;
}

/**
 * Coordinates a run until its last step, or until the signal.
 *
 * @returns how it ended
 * @throws {RunError} where another coordinator serves the run, the server's messages are too small, members end with
 *   different states, or nobody is left who has the run's state
 * @throws {RangeError} where the name of the run is not one
 *
 * @example
 * ```ts ignore
 * const outcome = await coordinate(await connectNats(url, "coordinator"), plan, { onEvent: console.log });
 * ```
 */
export async function coordinate(
  transport: Transport,
  plan: CoordinationPlan,
  options: CoordinateOptions = {},
): Promise<RunOutcome> {
  const partElements = partElementsFor(plan, transport.maxPayload);
  await refuseRival(transport, plan.run);
  return await new Coordinator(transport, plan, partElements, options).serve();
}

/** Values of a part: whole blocks of the norm, within the plan and what the server lets pass. */
function partElementsFor(plan: CoordinationPlan, maxPayload: number): number {
  const blockBytes = codecOf(plan.codec).byteLength(BLOCK);
  const bytes = Math.min(plan.partBytes, maxPayload - MAX_HEADER_BYTES);
  const blocks = Math.floor(bytes / blockBytes);
  if (blocks >= 1) return blocks * BLOCK;
  throw new RunError(
    `parts of a vector are at least ${blockBytes} bytes; the plan allows ${plan.partBytes} and the NATS server's ` +
      `max_payload is ${maxPayload}: raise them (the server's default is 1 MiB)`,
  );
}

/** Two coordinators would tear a run apart. */
async function refuseRival(transport: Transport, run: string): Promise<void> {
  const hello = encodeFrame({ kind: "hello", run, sender: COORDINATOR });
  const answer = await transport.request(subjects.from(run, COORDINATOR), hello, RIVAL_TIMEOUT);
  if (answer === "nobody" || answer === "silence") return;
  throw new RunError(`another coordinator serves the run "${run}" on this server; choose another name`);
}

class Coordinator {
  #state: RunState;
  #averaging: Averaging | undefined;
  readonly #encoder: FeedbackEncoder;
  #tickedAt = now();
  /** Messages that were not taken, by reason. */
  readonly #dropped: Record<string, number> = {};
  readonly #over = Promise.withResolvers<void>();

  constructor(
    readonly transport: Transport,
    readonly plan: CoordinationPlan,
    readonly partElements: number,
    readonly options: CoordinateOptions,
  ) {
    this.#state = initialState(plan, 1);
    this.#encoder = new FeedbackEncoder(codecOf(plan.codec));
  }

  /** Listens until nobody is left. */
  async serve(): Promise<RunOutcome> {
    const { transport, plan, options } = this;
    const interrupt = () => this.#handle({ kind: "interrupt" });
    const receive = (message: Message) => this.#guard(() => this.#receive(message));
    const unsubscribe = transport.subscribe(subjects.from(plan.run, "*"), receive);
    const ticks = setInterval(() => this.#guard(() => this.#tick()), TICK);
    const probes = setInterval(() => this.#probe(), plan.heartbeatSeconds * 1000);
    options.signal?.addEventListener("abort", interrupt);
    transport.closed.then((error) => this.#over.reject(connectionLost(error)));
    this.#over.promise.catch(() => {}); // it may end before it is awaited
    try {
      await transport.flush();
      options.onListening?.();
      options.onEvent?.({ kind: "waiting", reason: reasonToWait(this.#state) ?? "" });
      if (plan.startStep > 0 && this.#encoder.codec.hasFeedback) {
        const reason = "checkpoints don't hold them";
        options.onEvent?.({ kind: "residualsDropped", holder: "all", reason });
      }
      if (options.signal?.aborted) interrupt();
      await this.#over.promise;
      await transport.flush();
    } finally {
      clearInterval(ticks);
      clearInterval(probes);
      options.signal?.removeEventListener("abort", interrupt);
      unsubscribe();
    }
    return outcomeOf(this.#state, this.#dropped);
  }

  /** An exception in a callback would be lost; here it ends the run. */
  #guard(callback: () => void): void {
    try {
      callback();
    } catch (error) {
      this.#over.reject(error);
    }
  }

  /** One message from a member. */
  #receive(message: Message): void {
    const frame = decodeFrame(message.data, this.plan.run);
    if ("refused" in frame) return this.#refuse(frame, message);
    if (message.subject !== subjects.from(frame.run, frame.sender)) return this.#count("foreign");
    if (this.#isStale(frame)) {
      this.#count("stale");
      return this.#answer(frame, message);
    }
    if (frame.kind === "sum" || frame.kind === "ack") this.#transfer(frame);
    const event = this.#eventOf(frame);
    if (event) this.#handle(event, message);
    if (event?.kind !== "join") this.#answer(frame, message);
  }

  /** Said by one who is no member, or before it became one. A sum is the same whoever computed it. */
  #isStale({ kind, sender, generation }: Frame): boolean {
    if (kind === "join" || kind === "hello" || kind === "sum") return false;
    const participant = this.#state.members.get(sender) ?? this.#state.candidates.get(sender);
    return !participant || generation < participant.since;
  }

  /** Answers of another version of the protocol tell the sender which one is spoken here. */
  #refuse(refusal: Refusal, message: Message): void {
    this.#count(refusal.refused);
    if (refusal.refused !== "version") return;
    message.respond?.(encodeFrame({ kind: "refuse", run: this.plan.run, sender: COORDINATOR }));
  }

  /** A stranger's frame need not hold what its kind says. */
  #eventOf(frame: Frame): MembershipEvent | undefined {
    try {
      return eventOf(frame);
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      this.#count("foreign");
    }
  }

  /** One part of a sum, or the acknowledgement of one of the mean. */
  #transfer(frame: Frame): void {
    const averaging = frame.step === this.#state.step + 1 ? this.#averaging : undefined;
    if (frame.kind === "ack") averaging?.acknowledge(frame.sender, frame.part, now());
    else if (!averaging?.receive(frame, now())) this.#count("stale");
  }

  /** Answers what was sent as a request. */
  #answer(frame: Frame, { respond }: Message): void {
    if (frame.kind === "hello") {
      const { config, configHash } = this.plan;
      respond?.(encodeControl(this.#fields("run"), { config, configHash }));
    } else if (frame.kind === "status") {
      respond?.(this.#orderFor(frame.sender));
    } else {
      respond?.(encodeFrame(this.#fields("alive")));
    }
  }

  /** What a worker still has to do; without anything, that somebody is here. */
  #orderFor(name: string): Uint8Array {
    const member = this.#state.members.get(name);
    const candidate = this.#state.candidates.get(name);
    if (!member && !candidate) return encodeFrame(this.#fields("out"));
    const order = candidate
      ? orderForCandidate(this.#state, candidate)
      : member && isAwaited(this.#state, member)
      ? orderOf(this.#state)
      : undefined;
    return order ? this.#encodeOrder(order) : encodeFrame(this.#fields("alive"));
  }

  #handle(event: MembershipEvent, message?: Message): void {
    const { state, actions } = advance(this.#state, event, now());
    this.#state = state;
    if (state.stage.kind !== "computing" && state.stage.kind !== "averaging") this.#endAveraging();
    for (const action of actions) this.#perform(action, message);
  }

  #perform(action: Action, message?: Message): void {
    switch (action.do) {
      case "welcome":
        message?.respond?.(encodeControl(this.#fields("welcome"), {
          admitted: this.#state.members.has(action.member),
          microBatches: this.plan.microBatches,
          partElements: this.partElements,
          codec: this.plan.codec,
          windowBytes: this.plan.windowBytes,
          heartbeatSeconds: this.plan.heartbeatSeconds,
          silenceSeconds: this.plan.silenceSeconds,
        }));
        break;
      case "refuse":
        message?.respond?.(encodeControl(this.#fields("refuse"), { reasons: action.reasons }));
        break;
      case "announce":
        this.#announce();
        break;
      case "tell": {
        const candidate = this.#state.candidates.get(action.candidate);
        const order = candidate && orderForCandidate(this.#state, candidate);
        if (order) this.#tell(action.candidate, this.#encodeOrder(order));
        break;
      }
      case "average":
        this.#average(action);
        break;
      case "reform":
        this.#reform(action.sums);
        break;
      case "report":
        this.options.onEvent?.(action.event);
        break;
      case "end":
        this.#over.resolve();
    }
  }

  #announce(): void {
    const order = orderOf(this.#state);
    if (order) this.transport.publish(subjects.all(this.plan.run), this.#encodeOrder(order));
  }

  /** Pulls the sums of the open step, or goes on with them after a member was lost. */
  #average({ sums, tokens, lossSum }: Action & { do: "average" }): void {
    if (this.#averaging) return this.#reform(sums);
    const { plan, partElements } = this;
    const { microBatches, windowBytes } = plan;
    const step = this.#state.step + 1;
    const values = layoutOf(this.#state.credentials?.identity.layout ?? []).size;
    const parts = Math.ceil(values / partElements);
    const patienceSeconds = 2 * plan.heartbeatSeconds;
    const sizes = { microBatches, values, partElements, windowBytes, patienceSeconds };
    const whole = { step, parts, lo: 0, hi: microBatches, tokens, lossSum, finite: true };
    this.#averaging = new Averaging(sums, this.#state.members.keys(), tokens, sizes, this.#encoder, {
      pull: ({ member, lo, hi }, part) =>
        this.#tell(member, encodeFrame({ ...this.#fields("pull"), step, lo, hi, part, parts, tokens })),
      sendMean: (part, payload, member) => {
        const frame = encodeFrame({ ...this.#fields("mean"), ...whole, part, codec: plan.codec, payload });
        if (member) this.#tell(member, frame);
        else this.transport.publish(subjects.all(plan.run), frame);
      },
      heardAt: (member) => this.#state.members.get(member)?.heardAt ?? 0,
      pulled: ({ lo, hi }) => this.#handle({ kind: "pulled", lo, hi }),
      done: (norm) => this.#handle({ kind: "averaged", norm }),
    });
    this.#averaging.advance(now());
  }

  #endAveraging(): void {
    const { stage } = this.#state;
    if (this.#averaging) this.#encoder.settle(stage.kind === "committing" && stage.commit.apply);
    this.#averaging = undefined;
  }

  #reform(sums: readonly OfferedSum[]): void {
    this.#averaging?.reform(sums, this.#state.members.keys(), now());
  }

  #tick(): void {
    const time = now();
    if (time - this.#tickedAt >= DEAF_SECONDS) this.#handle({ kind: "deaf" });
    this.#tickedAt = time;
    this.#averaging?.tick(time);
    this.#handle({ kind: "tick", owing: this.#averaging?.owing() });
  }

  /** A process that died has nobody listening in its place, which the server knows at once. */
  #probe(): void {
    const { run, heartbeatSeconds } = this.plan;
    const alive = encodeFrame(this.#fields("alive"));
    for (const name of [...this.#state.members.keys(), ...this.#state.candidates.keys()]) {
      this.transport.request(subjects.to(run, name), alive, heartbeatSeconds)
        .then((answer) => this.#handle({ kind: "probed", name, there: answer !== "nobody" }));
    }
  }

  #tell(name: string, frame: Uint8Array): void {
    this.transport.publish(subjects.to(this.plan.run, name), frame);
  }

  #encodeOrder(order: Order): Uint8Array {
    return encodeControl({ ...this.#fields(order.kind), step: order.step }, order.message);
  }

  #fields<K extends Frame["kind"]>(kind: K) {
    const { term, generation, step } = this.#state;
    return { kind, run: this.plan.run, sender: COORDINATOR, term, generation, step };
  }

  #count(reason: string): void {
    this.#dropped[reason] = (this.#dropped[reason] ?? 0) + 1;
  }
}

function outcomeOf(state: RunState, dropped: Record<string, number>): RunOutcome {
  if (state.stage.kind === "ended" && state.stage.error) throw new RunError(state.stage.error);
  const { step, loss, valLoss, tokens, paramsHash, bytesSent, bytesReceived, stateBytes } = state;
  return {
    steps: step,
    loss,
    valLoss,
    tokens,
    bytesSent,
    bytesReceived,
    stateBytes,
    paramsHash,
    dropped,
    interrupted: state.interrupted && step < state.plan.steps,
  };
}

function connectionLost(error: Error | undefined): Error {
  return error ?? new RunError("the connection to the NATS server was closed while the run went on");
}

/** Seconds on a clock that does not go back. */
function now(): number {
  return performance.now() / 1000;
}

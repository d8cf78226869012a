/**
 * The coordinator: it assigns micro-batches to workers, reduces their gradient sums, and commits each step. It holds no model.
 * Decisions are made in `coordinator/state_machine.ts` and `steps/`, vectors are reduced in `allreduce/`; this file connects both
 * to the message bus, the clock and the caller.
 *
 * @module
 */

import { RunError } from "../errors.ts";
import { onAbort } from "../on_abort.ts";
import { layoutOf } from "../layout.ts";
import { Actions } from "./coordinator/actions.ts";
import { answerTo, encodeAlive, fieldsOf } from "./coordinator/replies.ts";
import { isNeighbour } from "./memory/neighbours.ts";
import { now } from "./protocol/timeouts.ts";
import { CheckpointExchange } from "./transfer/checkpoint_exchange.ts";
import { codecOf } from "./vectors/codecs.ts";
import { reasonToWait } from "./steps/between_steps.ts";
import type { CoordinateOptions } from "./coordinator/options.ts";
import { encodeFrame, type Frame, type Refusal } from "./protocol/frames.ts";
import { FreezeGuard } from "./coordinator/freeze_guard.ts";
import type { Lease } from "./protocol/lease.ts";
import { advance, outcomeOf } from "./coordinator/state_machine.ts";
import { eventOf, type MembershipEvent } from "./state/events.ts";
import { decodeMessage, isOf, type Received } from "./protocol/messages.ts";
import type { CoordinationPlan, RunOutcome } from "./replica/plan.ts";
import { isSoundReport, workOf } from "./steps/reducer_set.ts";
import { doubtful } from "./coordinator/presence.ts";
import { refuseRival, replaced } from "./coordinator/single_leader.ts";
import { ResidualKeeper } from "./allreduce/residuals.ts";
import { initialState, type RunState } from "./state/run_state.ts";
import { partElementsFor, ReduceSide } from "./allreduce/reduce_side.ts";
import { gathering } from "./coordinator/failover.ts";
import { COORDINATOR, type Message, subjects, type Transport } from "./protocol/transport.ts";

/** Milliseconds between two ticks of the clock. */
const TICK = 100;

/**
 * Coordinates a run until its last step, or until the signal.
 *
 * @returns how it ended
 * @throws {RunError} where another coordinator serves the run or takes it over, the server's message size is too small, members
 *   end with different states, or no worker is left that has the run's state
 * @throws {RangeError} where the name of the run is invalid
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
  await refuseRival(transport, plan.run, options.takeOver !== undefined);
  const lease = await options.takeLease?.();
  if (options.takeLease && !lease) options.onEvent?.({ kind: "no lease" });
  return await new Coordinator(transport, plan, partElements, options, lease).serve();
}

class Coordinator {
  #state: RunState;
  readonly #vectors: ReduceSide;
  readonly #residuals: ResidualKeeper;
  readonly #checkpoints: CheckpointExchange;
  readonly #actions: Actions;
  readonly #guard: FreezeGuard;
  /** Dropped messages, by reason. */
  readonly #dropped: Record<string, number> = {};
  /** When parts and acknowledgements came that the state does not know of yet, by sender. */
  readonly #heardAt = new Map<string, number>();
  readonly #over = Promise.withResolvers<void>();
  #isConnected = true;

  constructor(
    readonly transport: Transport,
    readonly plan: CoordinationPlan,
    readonly partElements: number,
    readonly options: CoordinateOptions,
    lease: Lease | undefined,
  ) {
    this.#guard = new FreezeGuard(
      plan.run,
      lease,
      this.#over.reject,
      () => this.#handle({ kind: "deaf", isCutOff: false }),
      now,
    );
    const state = initialState(plan, 1 + (lease?.revision ?? 0), options.checkpoints !== undefined);
    this.#state = options.takeOver ? gathering(state, options.takeOver, now()) : state;
    this.#checkpoints = new CheckpointExchange(transport, plan, options.checkpoints, options.text, {
      size: () => layoutOf(this.#state.credentials?.identity.layout ?? []).size,
      isWanted: ({ member, step }) => {
        const { writing } = this.#state;
        return writing?.member === member && writing.step === step && writing.by === "coordinator";
      },
      collected: ({ member, step }, result) =>
        this.#guard.enter(() => this.#handle({ kind: "collected", member, step, result })),
      hasState: (step) => step === this.#state.savedStep,
      report: (event) => options.onEvent?.(event),
    });
    const { windowBytes, codec } = plan;
    const patienceSeconds = 2 * plan.heartbeatSeconds;
    this.#vectors = new ReduceSide(
      COORDINATOR,
      { partElements, windowBytes, patienceSeconds },
      codecOf(codec),
      {
        fields: (kind) => fieldsOf(this.#state, kind),
        send: (frame, subject) => this.transport.compose(subject, frame),
        heardAt: (member) => this.#heardAt.get(member) ?? this.#state.members.get(member)?.heardAt ?? 0,
        pulled: ({ lo, hi }) => this.#handle({ kind: "pulled", lo, hi }),
        reduced: (report) => {
          const { generation } = this.#state;
          this.#handle({ kind: "reduced", reducer: COORDINATOR, generation, ...report });
        },
        cantShare: (reason) => options.onEvent?.({ kind: "by messages", reason }),
      },
      () => this.#isSharing,
    );
    this.#residuals = new ResidualKeeper(
      this.#vectors.encoder,
      options.residuals?.ofMean(COORDINATOR),
      (reason) => options.onEvent?.({ kind: "residualsDropped", holder: COORDINATOR, reason }),
    );
    this.#actions = new Actions({
      transport,
      partElements,
      options,
      vectors: this.#vectors,
      residuals: this.#residuals,
      checkpoints: this.#checkpoints,
      state: () => this.#state,
      recall: (step) => this.#recall(step),
      end: this.#over.resolve,
    });
  }

  /** Serves the run until all have left. */
  async serve(): Promise<RunOutcome> {
    const { transport, plan, options } = this;
    if (!options.takeOver) await this.#residuals.resume(plan.startStep);
    const interrupt = () => this.#guard.enter(() => this.#handle({ kind: "interrupt" }));
    using ending = new DisposableStack();
    ending.use(this.#vectors);
    const listen = (from: (member: string) => string) =>
      ending.defer(transport.subscribe(from("*"), ({ data, ...message }) => {
        this.#guard.enter(() => this.#receive({ ...message, data }, from), () => data = data.slice());
      }));
    listen((member) => subjects.from(plan.run, member));
    listen((member) => subjects.vectors(plan.run, COORDINATOR, member));
    const states = subjects.state(plan.run, COORDINATOR);
    ending.defer(transport.subscribe(states, (message) => this.#checkpoints.answer(message)));
    const ticks = setInterval(() => this.#guard.enter(() => this.#tick()), TICK);
    const probeAll = () => this.#guard.enter(() => this.#probeAll());
    const probes = setInterval(probeAll, plan.heartbeatSeconds * 1000);
    options.signal?.addEventListener("abort", interrupt);
    using _hurrying = onAbort(options.hurry, () => this.#guard.enter(() => this.#handle({ kind: "hurry" })));
    transport.closed.then((error) => this.#guard.close(connectionLost(error)));
    this.#over.promise.catch(() => {}); // it may reject before it is awaited
    try {
      await options.watchConnections?.((name) =>
        this.#guard.enter(() => this.#handle({ kind: "disconnected", name }))
      );
      await transport.flush();
      options.onListening?.();
      const gathers = this.#state.stage.kind === "gathering";
      const reason = gathers ? "waiting for the workers of the run to join again" : reasonToWait(this.#state);
      options.onEvent?.({ kind: "waiting", reason: reason ?? "" });
      this.#reportLostResiduals();
      if (options.signal?.aborted) interrupt();
      await this.#over.promise;
      await this.#residuals.idle();
      await transport.flush();
    } finally {
      this.#guard.close();
      clearInterval(ticks);
      clearInterval(probes);
      options.signal?.removeEventListener("abort", interrupt);
    }
    return outcomeOf(this.#state, this.#dropped);
  }

  /** The residuals of the previous coordinator are lost. */
  #reportLostResiduals(): void {
    const { plan, options: { takeOver, onEvent } } = this;
    if (!takeOver || !codecOf(plan.codec).hasFeedback) return;
    onEvent?.({ kind: "residualsDropped", holder: COORDINATOR, reason: "it was replaced" });
  }

  /** One message from a member or a reducer, on the subject where it may publish it. */
  #receive(message: Message, from: (member: string) => string): void {
    const frame = decodeMessage(message.data, this.plan.run);
    if ("refused" in frame) return this.#refuse(frame, message);
    const isMine = frame.sender === COORDINATOR && frame.kind !== "hello"; // `hello` is how another coordinator asks
    if (isMine || message.subject !== from(frame.sender)) return this.#count("foreign");
    const { term, stage } = this.#state;
    if (frame.term > term && stage.kind !== "gathering") throw replaced(this.plan.run, frame.term);
    if (this.#isStale(frame)) {
      this.#count("stale");
      if (frame.kind === "status") this.#handle({ kind: "alive", name: frame.sender, term: frame.term });
      return message.respond?.(this.#answerTo(frame));
    }
    if (!this.#fits(frame)) return this.#count("malformed");
    if (frame.kind === "sum" || frame.kind === "ack") return this.#receivePart(frame, message);
    const event = eventOf(frame, this.#isNear(frame));
    if (event) this.#handle(event, message);
    if (event?.kind !== "join") message.respond?.(this.#answerTo(frame));
  }

  /** There are so many of these that only the time is noted, and becomes part of the state when that is looked at. */
  #receivePart(frame: Frame, message: Message): void {
    this.#heardAt.set(frame.sender, now());
    if (!this.#vectors.receive(frame, now())) this.#count("stale");
    message.respond?.(this.#answerTo(frame));
  }

  /** Whether a newcomer's or a reducer's memory can be opened here, and so by all of this machine. */
  #isNear(frame: Received): boolean {
    if (!this.#isSharing || !isOf(frame, "join", "reducer") || !frame.message.memory) return false;
    const isNear = isNeighbour(frame.message.memory) === true;
    if (isNear && frame.kind === "join" && this.#state.reducers.size === 0) {
      this.#vectors.share(layoutOf(frame.message.identity.layout).size).catch(this.#over.reject);
    }
    return isNear;
  }

  /** What is decoded before it is used travels. */
  get #isSharing(): boolean {
    return this.options.sharesMemory !== false && codecOf(this.plan.codec).isExact;
  }

  #answerTo(frame: Frame): Uint8Array {
    return answerTo(this.#state, frame, this.partElements, now());
  }

  /** From a process that is not a member, or before it became one. A sum is the same, whichever member computed it. */
  #isStale({ kind, sender, generation }: Frame): boolean {
    if (["join", "hello", "sum", "reducer", "ended"].includes(kind)) return false;
    const { members, candidates, reducers } = this.#state;
    const participant = members.get(sender) ?? candidates.get(sender) ?? reducers.get(sender);
    return !participant || generation < participant.joinedGeneration;
  }

  /** Whether a report is about the work that its reducer has. */
  #fits(frame: Received): boolean {
    const work = frame.kind === "reduced" ? workOf(this.#state) : undefined;
    if (!work || frame.kind !== "reduced" || frame.generation !== this.#state.generation) return true;
    return isSoundReport(frame, work, this.partElements);
  }

  /** Answers a message of another protocol version with the version of this one. */
  #refuse(refusal: Refusal, message: Message): void {
    this.#count(refusal.refused);
    if (refusal.refused !== "version") return;
    message.respond?.(encodeFrame({ kind: "refuse", run: this.plan.run, sender: COORDINATOR }));
  }

  #handle(event: MembershipEvent, message?: Message): void {
    if (event.kind === "tick" || event.kind === "join" || event.kind === "deaf") this.#foldIn();
    const { state, actions } = advance(this.#state, event, now());
    this.#state = state;
    if (state.stage.kind !== "computing" && state.stage.kind !== "reducing") {
      this.#vectors.close(state.stage.kind === "committing" && state.stage.commit.apply);
    }
    for (const action of actions) this.#actions.perform(action, message);
  }

  /** Events that look at the times of messages, or change them, find all. */
  #foldIn(): void {
    this.#state = advance(this.#state, { kind: "heard", at: this.#heardAt }, now()).state;
    this.#heardAt.clear();
  }

  #recall(step: number): void {
    const record = this.options.takeOver?.recall(step);
    if (record) this.#handle({ kind: "recalled", step, record });
  }

  #tick(): void {
    const time = now();
    this.#reportConnection();
    if (this.#isConnected) this.#vectors.tick(time);
    else this.#handle({ kind: "deaf", isCutOff: true });
    this.#handle({ kind: "tick", blockedSince: this.#vectors.blockedSince() });
    this.#probe(doubtful(this.#state, time));
  }

  /** Without the server the run is paused, and only the coordinator can report that. */
  #reportConnection(): void {
    const { transport: { isConnected }, options } = this;
    if (isConnected === this.#isConnected) return;
    this.#isConnected = isConnected;
    const reason = isConnected
      ? "connected to the NATS server again"
      : "waiting for the NATS server to be reachable again";
    options.onEvent?.({ kind: "waiting", reason });
  }

  /** A dead process no longer listens on its subject, which the server knows at once. */
  #probeAll(): void {
    const { members, candidates, reducers } = this.#state;
    this.#checkpoints.release();
    this.#probe([...members.keys(), ...candidates.keys(), ...reducers.keys()]);
  }

  #probe(names: readonly string[]): void {
    const { run, heartbeatSeconds } = this.plan;
    const alive = encodeAlive(this.#state), askedAt = now();
    for (const name of names) {
      this.transport.request(subjects.to(run, name), alive, heartbeatSeconds)
        .then((answer) => {
          const there = answer !== "nobody";
          this.#guard.enter(() => this.#handle({ kind: "probed", name, there, askedAt }));
        }, (error) => this.#guard.close(error));
    }
  }

  #count(reason: string): void {
    this.#dropped[reason] = (this.#dropped[reason] ?? 0) + 1;
  }
}

function connectionLost(error: Error | undefined): Error {
  return error ?? new RunError("the connection to the NATS server was closed during the run");
}

/**
 * A worker serves a replica to a run. It joins, carries out the coordinator's orders one after the other, sends its sums when they
 * are pulled, collects the mean, and leaves when the run ends. A worker that is no longer a member, because it was paused or
 * disconnected for a while or after a failover, joins again.
 *
 * @module
 */

import { Halted, RunError } from "../errors.ts";
import { assemble, type WorkerParts } from "./worker/assembly.ts";
import type { ReportedSum } from "./replica/accumulate.ts";
import { join, joinAgain, type Welcome } from "./worker/join.ts";
import { errorOf, type Received, type ReceivedOf } from "./protocol/messages.ts";
import { decodeOrder, isSoundForWorker, type KnownRun } from "./protocol/order_checks.ts";
import type { Replica } from "./replica/replica.ts";
import { type Message, subjects, type Transport } from "./protocol/transport.ts";
import { carryOut, dutyKey, isDuty } from "./worker/duties.ts";
import type { ServeWorkerOptions } from "./worker/options.ts";
import type { Range } from "./vectors/tree.ts";
import { onAbort } from "../on_abort.ts";
import { Neighbourhood } from "./worker/neighbourhood.ts";

/**
 * Serves a replica to a run until it ends, or until the signal.
 *
 * @throws what the replica throws, after the coordinator was told
 * @throws {RunError} where no coordinator serves the run, the replica is rejected at join, or the run ends with an error
 *
 * @example
 * ```ts ignore
 * const { config, configHash } = await fetchRun(transport, "demo", "worker-0");
 * await runWorker(transport, replicaFrom(config), { run: "demo", member: "worker-0", configHash, atHome: true });
 * ```
 */
export async function runWorker(
  transport: Transport,
  replica: Replica,
  options: ServeWorkerOptions,
): Promise<void> {
  const { signal, nonce = crypto.randomUUID() } = options;
  if (signal?.aborted) return;
  using neighbourhood = await Neighbourhood.open(replica.size, options);
  const welcome = await join(transport, replica, { ...options, nonce, memory: neighbourhood.address });
  neighbourhood.settle(welcome.isNear);
  const worker = new Worker(transport, replica, options, nonce, welcome, neighbourhood);
  using _leaving = onAbort(signal, () => worker.askToLeave());
  using _hurrying = onAbort(options.hurry, () => worker.hurry());
  await worker.serve();
}

/**
 * A candidate has no state of the run yet; a ready one has it and follows the steps; a member also computes. A worker that is out was
 * removed from the run and is joining again.
 */
type Standing = "candidate" | "ready" | "member" | "out";

class Worker {
  readonly #parts: WorkerParts;
  readonly #ended = Promise.withResolvers<void>();
  #isEnding = false;
  #standing: Standing;
  /** Subtrees to be computed in the open step. */
  #wanted: readonly Range[] = [];
  /** Micro-batches that were assigned in the last step, or in each step of the last round. */
  #share = 0;
  /** The generation in which they were assigned. */
  #assignedIn = 0;
  readonly #known: KnownRun;
  readonly #listener = ({ data }: Message) => this.#guard(() => this.#receive(data));

  constructor(
    readonly transport: Transport,
    readonly replica: Replica,
    readonly options: ServeWorkerOptions,
    readonly nonce: string,
    readonly welcome: Welcome,
    readonly neighbourhood: Neighbourhood,
  ) {
    this.#known = { member: options.member, replica, welcome };
    this.#standing = welcome.admitted ? "member" : "candidate";
    this.#parts = assemble(transport, replica, options, welcome, {
      begin: (phase) => this.#begin(phase),
      fail: (error) => this.#fail(error),
      applyNext: () => this.#applyNext(),
    }, neighbourhood.sums);
  }

  /** Works until the run ends. */
  async serve(): Promise<void> {
    const { transport, options: { run, member, onEvent } } = this;
    await this.#parts.residuals.resume(this.replica.step);
    using ending = new DisposableStack();
    ending.use(this.#parts.executor);
    const listen = (subject: string, receive = this.#listener) =>
      ending.defer(transport.subscribe(subject, receive));
    listen(subjects.to(run, member));
    listen(subjects.all(run));
    listen(
      subjects.state(run, member),
      (message) => this.#guard(() => this.#parts.reporter.answer(message, this.#parts.executor)),
    );
    this.neighbourhood.hear(transport, this.welcome.isNear, this.#listener);
    const beat = () => this.#beat().catch((error) => this.#fail(error));
    const heartbeats = setInterval(beat, this.welcome.heartbeatSeconds * 1000);
    ending.defer(() => clearInterval(heartbeats));
    transport.closed.then((error) =>
      this.#fail(error ?? new RunError("the connection to the NATS server was closed"))
    );
    try {
      onEvent?.({ kind: "joined" });
      beat(); // what was ordered before this worker listened comes with the answer
      await this.#ended.promise;
      await this.#leave();
    } catch (error) {
      await this.#leave(error);
      throw error;
    }
  }

  /** Asks to leave: the other members continue, and the last one stays until its state is saved. */
  askToLeave(): void {
    this.#parts.departure.ask();
    this.#beat();
  }

  /** Leaves at once. A checkpoint in flight is kept on this machine. */
  hurry(): void {
    this.#parts.checkpoints.keep();
    this.#stop();
  }

  /** Leaves the run, after the micro-batch that is being computed. */
  #stop(): void {
    this.#isEnding = true;
    this.#ended.resolve();
  }

  #fail(error: unknown): void {
    this.#isEnding = true;
    this.#ended.reject(error);
  }

  /** An exception in a callback would be lost. */
  #guard(callback: () => void): void {
    try {
      callback();
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Waits for the last micro-batch to end, and tells the coordinator. */
  async #leave(error?: unknown): Promise<void> {
    const { sampler, queue, checkpoints, residuals, departure, reporter } = this.#parts;
    await sampler.stop();
    for (const busy of [queue, checkpoints, residuals]) await busy.idle();
    if (!departure.isOverdue) await reporter.leave(error);
  }

  /** One message from the coordinator, or from a reducer. Orders of an earlier coordinator or set of members are dropped. */
  #receive(data: Uint8Array): void {
    const frame = decodeOrder(data, this.options.run, (frame) => isSoundForWorker(frame, this.#known));
    if ("refused" in frame) return this.#parts.link.refuse(frame);
    const sender = this.#parts.link.hear(frame);
    if (sender === "stale") return;
    if (sender === "other" && frame.kind !== "finish") return this.#joinAgain();
    switch (frame.kind) {
      case "pull":
        this.#parts.executor.time.beginExchange();
        return this.#parts.executor.vectors.pull(frame);
      case "mean":
        return this.#takeMean(frame);
      case "finish": {
        const error = errorOf(frame.message);
        return error ? this.#fail(error) : this.#stop();
      }
      case "out": // a worker that wants to leave may do so: a new coordinator would not know of it
        return this.#parts.departure.isAsked ? this.#stop() : this.#joinAgain();
      case "takeover":
        return this.#follow(frame);
      case "assign":
        return this.#assign(frame);
      case "commit":
        this.#parts.executor.note(frame.step, frame.message);
        return this.#applyNext();
      default:
        return this.#obey(frame);
    }
  }

  /** Members collect the mean of the step that they compute, candidates those of all steps that they don't have yet. */
  #takeMean(frame: ReceivedOf<"mean">): void {
    const next = this.replica.step + 1;
    if (frame.step < next || (this.#standing === "member" && frame.step > next)) return;
    const taken = this.#parts.executor.vectors.takeMean(frame, this.#standing === "member");
    if (typeof taken === "object") {
      this.neighbourhood.leave(taken.refused);
      return this.#joinAgain();
    }
    if (!taken) return;
    this.#parts.executor.time.beginExchange();
    this.#parts.reporter.acknowledge(frame);
    this.#applyNext(); // a reducer's part may come after the coordinator's commit
  }

  /** Computes the assigned subtrees. Only a member is assigned any. */
  #assign(order: ReceivedOf<"assign">): void {
    const { ranges, round, members } = order.message;
    if (this.#standing === "candidate" || this.#standing === "out") return;
    this.#standing = "member";
    if (order.step !== this.replica.step + 1) return;
    this.#parts.residuals.open(order.step, members);
    this.#assignedIn = order.generation;
    this.#wanted = ranges; // more may have come: a task that computes already sees it
    const { microBatches } = this.welcome;
    this.#share = (round ? [round.share] : ranges).reduce((sum, [lo, hi]) => sum + hi - lo, 0);
    const local = round && { steps: round.localSteps, share: round.share, microBatches };
    const offer = (range: Range, sum: ReportedSum) => this.#parts.reporter.offer(range, sum);
    this.#start("assign", () => this.#parts.executor.compute(() => this.#wanted, offer, local));
  }

  /** Applies a step that is committed and complete. */
  #applyNext(): void {
    if (this.#standing === "candidate" || this.#standing === "out" || !this.#parts.executor.canApply) return;
    this.#wanted = [];
    this.#start("commit", async () => {
      this.#begin("updating");
      const share = this.#share;
      const { step, apply, loss, tokens } = await this.#parts.executor.apply();
      this.#parts.queue.forget();
      this.#parts.reporter.setPhase("ready");
      this.#parts.reporter.publish(this.#parts.reporter.status());
      const { microBatches } = this.welcome;
      this.options.onEvent?.({ kind: "applied", step, apply, loss, tokens, share, microBatches });
    });
  }

  /** Gets a member's state by state transfer. */
  #follow(order: ReceivedOf<"takeover">): void {
    if (this.#standing === "member" || this.#standing === "out" || this.#parts.catchUp.repeat(order)) {
      return;
    }
    this.#standing = "candidate";
    this.#parts.catchUp.accept(order);
    const restored = () => {
      this.#parts.queue.forget();
      this.#standing = "ready";
    };
    this.#start("takeover", () => this.#parts.catchUp.restore(order, () => this.#isEnding, restored));
  }

  /** Joins again, since the run continues without this worker. */
  #joinAgain(): void {
    if (this.#standing === "out" || this.#isEnding) return;
    this.#standing = "out";
    this.#wanted = [];
    this.#parts.catchUp.forget();
    this.#parts.executor.vectors.dropResiduals();
    this.options.onEvent?.({ kind: "out" });
    this.#rejoin().catch((error) => this.#fail(error));
  }

  async #rejoin(): Promise<void> {
    await this.#parts.queue.idle();
    const { transport, replica, options, nonce } = this;
    const isWanted = () => !this.#isEnding;
    const applicant = { ...options, nonce, memory: this.neighbourhood.address };
    const welcome = await joinAgain(transport, replica, applicant, this.#parts.link, isWanted);
    if (!welcome) return;
    this.neighbourhood.hear(transport, welcome.isNear, this.#listener);
    if (welcome.term > this.#parts.link.place.term) this.#parts.executor.forgetUnapplied();
    this.#parts.link.move(welcome);
    this.#standing = welcome.admitted ? "member" : "candidate";
    await this.#beat();
  }

  /** Carries out an order between steps, once, however often it is repeated. */
  #obey(order: Received): void {
    if (!isDuty(order)) return;
    if (order.kind === "save") this.#parts.checkpoints.repeat(order.step);
    if (order.kind === "save" && order.message.isKept && order.message.writer === this.options.member) {
      return this.#parts.checkpoints.keep(order.step);
    }
    if (order.generation > this.#assignedIn) this.#wanted = []; // the step was dropped
    const key = dutyKey(order);
    if (this.#parts.queue.repeat(key) || order.step !== this.replica.step) return;
    this.#start(key, (answer) => carryOut(order, this.#parts, answer));
  }

  #start(key: string, work: (answer: (frame: Uint8Array) => void) => Promise<void>): void {
    if (!this.#isEnding) this.#parts.queue.start(key, work);
  }

  /** Sends a heartbeat; the answer is the order that this worker still has to carry out. */
  async #beat(): Promise<void> {
    const { run, member } = this.options;
    const { heartbeatSeconds, silenceSeconds } = this.welcome;
    this.#parts.executor.release(silenceSeconds, this.transport.isConnected);
    if (this.#standing === "out") {
      return this.#parts.departure.isOverdue ? await this.#goUnheard() : undefined;
    }
    const answer = await this.transport.request(
      subjects.from(run, member),
      this.#parts.reporter.status(),
      heartbeatSeconds,
    );
    if (this.#isEnding) return;
    this.#guard(() => {
      if (answer instanceof Uint8Array) this.#parts.departure.noteAnswer();
      if (answer instanceof Uint8Array) this.#receive(answer);
      if (this.#parts.departure.isOverdue) return this.#goUnheard();
      this.#parts.link.asked(answer);
    });
  }

  /** Leaves without an answer, and keeps the state, which perhaps no other worker has. */
  async #goUnheard(): Promise<void> {
    if (this.#isEnding) return;
    this.#isEnding = true;
    await this.#parts.queue.idle();
    const state = await this.replica.state();
    if (this.#standing !== "candidate" && state.step > 0) this.#parts.checkpoints.keep(state.step, state);
    this.#ended.resolve();
  }

  #begin(phase: string): void {
    if (this.#isEnding || this.#standing === "out") throw new Halted();
    this.#parts.reporter.setPhase(phase);
  }
}

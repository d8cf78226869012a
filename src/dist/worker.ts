/**
 * A worker: serves a replica to a run. It joins, carries out the coordinator's orders one after the other, hands out its
 * sums when they are pulled, collects the mean, and leaves when the run ends. One that finds itself out, because it was
 * frozen or cut off for a while, joins again.
 *
 * @module
 */

import { RunError, wordsOf } from "../errors.ts";
import { GONE_SECONDS } from "./deadlines.ts";
import type { ReachFaultPoint } from "./fault_points.ts";
import { donorOver } from "./donor_requests.ts";
import { Halted } from "./halted.ts";
import { decodeFrame, encodeFrame, type Frame } from "./frames.ts";
import { askCoordinator, join, type Welcome } from "./joining.ts";
import type { ReportedSum } from "./compute.ts";
import { encodeControl, messageOf, type Range } from "./messages.ts";
import type { Replica } from "./replica.ts";
import { Tasks } from "./tasks.ts";
import { type Message, subjects, type Transport } from "./transport.ts";
import { Workbench } from "./workbench.ts";

/** What a worker tells while it works. */
export type WorkerEvent =
  | { kind: "joined" }
  | { kind: "out" }
  | { kind: "applied"; step: number; apply: boolean; loss: number };

/** How a worker takes part. */
export interface WorkerOptions {
  /** Name of the run. */
  run: string;
  /** Name of this worker, another one for each: 1 to 64 letters, digits, _ and -. */
  member: string;
  /** Hash of the configuration that the replica was built from. */
  configHash: string;
  /** Whether this is the machine where the run was started: checkpoints are written there, where a member is left. */
  atHome: boolean;
  /** Leaves the run, which goes on without this worker. */
  signal?: AbortSignal;
  /** Gets what happens. */
  onEvent?: (event: WorkerEvent) => void;
  /** For tests: called at each fault point. */
  onFaultPoint?: ReachFaultPoint;
}

/**
 * Serves a replica to a run until it ends, or until the signal.
 *
 * @throws what the replica throws, after the coordinator was told
 * @throws {RunError} where nobody coordinates the run, the replica is refused, or the run ends with an error
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
  options: WorkerOptions,
): Promise<void> {
  const { signal } = options;
  if (signal?.aborted) return;
  const nonce = crypto.randomUUID();
  const welcome = await join(transport, replica, { ...options, nonce });
  const worker = new Worker(transport, replica, options, nonce, welcome);
  const leave = () => worker.stop();
  signal?.addEventListener("abort", leave);
  try {
    await worker.serve();
  } finally {
    signal?.removeEventListener("abort", leave);
  }
}

/**
 * A candidate has no state of the run yet; one that is ready has it and goes along; a member computes, too. Who is out was a
 * member, or a candidate, and does not know yet whether it will be one again.
 */
type Standing = "candidate" | "ready" | "member" | "out";

class Worker {
  readonly #bench: Workbench;
  readonly #ended = Promise.withResolvers<void>();
  #isEnding = false;
  #standing: Standing;
  readonly #tasks: Tasks;
  /** Subtrees to be computed in the open step. */
  #wanted: readonly Range[] = [];
  /** The takeover that was ordered last, and the answer to one that is done. */
  #takeover = "";
  #restored: { key: string; frame: Uint8Array } | undefined;
  #term: number;
  #generation: number;
  #phase = "ready";
  #progress = 0;
  /** Signs of life without an answer, one after the other. */
  #unanswered = 0;
  #goneSince: number | undefined;

  constructor(
    readonly transport: Transport,
    readonly replica: Replica,
    readonly options: WorkerOptions,
    readonly nonce: string,
    readonly welcome: Welcome,
  ) {
    this.#term = welcome.term;
    this.#generation = welcome.generation;
    this.#standing = welcome.admitted ? "member" : "candidate";
    this.#tasks = new Tasks(
      (answer) => this.#publish(answer),
      (error) => this.#fail(error),
      () => {
        this.#setPhase("ready");
        this.#goAlong();
      },
    );
    this.#bench = new Workbench(replica, welcome, {
      begin: (phase) => this.#begin(phase),
      send: (fields) => {
        this.#progress++;
        this.#publish(encodeFrame({ ...this.#fields(fields.kind), ...fields }));
      },
      reach: (point, step) => options.onFaultPoint?.(point, step),
      fail: (error) => this.#fail(error),
    });
  }

  /** Works until the run ends. */
  async serve(): Promise<void> {
    const { transport, options: { run, member, onEvent } } = this;
    const receive = ({ data }: Message) => this.#guard(() => this.#receive(data));
    const unsubscribes = [
      transport.subscribe(subjects.to(run, member), receive),
      transport.subscribe(subjects.all(run), receive),
      transport.subscribe(subjects.state(run, member), (message) => this.#guard(() => this.#answer(message))),
    ];
    const heartbeats = setInterval(() => this.#beat(), this.welcome.heartbeatSeconds * 1000);
    transport.closed.then((error) =>
      this.#fail(error ?? new RunError("the connection to the NATS server was closed"))
    );
    try {
      onEvent?.({ kind: "joined" });
      this.#beat(); // what was ordered before this worker listened comes with the answer
      await this.#ended.promise;
      await this.#leave();
    } catch (error) {
      await this.#leave(error);
      throw error;
    } finally {
      clearInterval(heartbeats);
      for (const unsubscribe of unsubscribes) unsubscribe();
    }
  }

  /** Leaves the run, after the micro-batch that is being computed. */
  stop(): void {
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

  /** Lets the last micro-batch end, and tells the coordinator. */
  async #leave(error?: unknown): Promise<void> {
    const message = error === undefined ? {} : { error: wordsOf(error) };
    const { run, member } = this.options;
    const leave = encodeControl(this.#fields("leave"), message);
    await this.#tasks.idle();
    await askCoordinator(this.transport, run, member, leave).catch(() => {}); // nobody is left to be told
  }

  /** One message from the coordinator. Orders of an earlier coordinator or set of members are dropped. */
  #receive(data: Uint8Array): void {
    const frame = decodeFrame(data, this.options.run);
    if ("refused" in frame) return;
    if (frame.term < this.#term || frame.generation < this.#generation) return;
    this.#term = frame.term;
    this.#generation = frame.generation;
    this.#unanswered = 0;
    const { step } = this.replica;
    switch (frame.kind) {
      case "pull":
        return this.#bench.vectors.pull(frame);
      case "mean":
        return this.#takeMean(frame);
      case "finish": {
        const { error } = messageOf(frame, "finish");
        return error ? this.#fail(new RunError(`the run was ended: ${error}`)) : this.stop();
      }
      case "out":
        return this.#comeBack();
      case "takeover":
        return this.#follow(frame);
      case "assign":
        return this.#assign(frame);
      case "commit":
        this.#bench.note(frame.step, messageOf(frame, "commit"));
        return this.#goAlong();
      case "evaluate":
        return this.#obey(frame, step, String(frame.generation));
      case "save":
        return this.#obey(frame, step, messageOf(frame, "save").writer);
      case "pin":
        return this.#obey(frame, step, messageOf(frame, "pin").donor);
      case "hash":
        return this.#obey(frame, step);
    }
  }

  /** Members collect the mean of the step that they compute, candidates those of all steps that they don't have yet. */
  #takeMean(frame: Frame): void {
    const next = this.replica.step + 1;
    if (frame.step < next || (this.#standing === "member" && frame.step > next)) return;
    if (!this.#bench.vectors.takeMean(frame)) return;
    this.#publish(encodeFrame({ ...this.#fields("ack"), step: frame.step, part: frame.part }));
    this.#progress++;
  }

  /** Computes what is assigned. Who is not named is no member. */
  #assign(order: Frame): void {
    const ranges = messageOf(order, "assign").ranges[this.options.member];
    if (!ranges) return this.#standing === "member" ? this.#comeBack() : undefined;
    if (this.#standing === "candidate" || this.#standing === "out") return;
    this.#standing = "member";
    if (order.step !== this.replica.step + 1) return;
    this.#wanted = ranges; // more may have come: a task that computes already sees it
    this.#start(
      "assign",
      () => this.#bench.compute(() => this.#wanted, (range, sum) => this.#offer(range, sum)),
    );
  }

  #offer([lo, hi]: Range, { sum: { lossSum, tokens }, reports, seconds }: ReportedSum): void {
    const finite = reports.every((report) => report.finite);
    const named = { ...this.#fields("offer"), step: this.replica.step + 1, lo, hi, lossSum, tokens, finite };
    this.#publish(encodeControl(named, { microBatches: reports, seconds }));
  }

  /** Ends the steps that are committed and complete. */
  #goAlong(): void {
    if (this.#standing === "candidate" || this.#standing === "out" || !this.#bench.canApply) return;
    this.#wanted = [];
    this.#start("commit", async () => {
      this.#begin("updating");
      const { step, apply, loss } = await this.#bench.apply();
      this.#setPhase("ready");
      this.#publish(this.#status());
      this.options.onEvent?.({ kind: "applied", step, apply, loss });
    });
  }

  /** Takes over a member's state. A later order ends an earlier one, whose donor is gone or whose state is too old. */
  #follow(order: Frame): void {
    if (this.#standing === "member" || this.#standing === "out") return;
    const { donor } = messageOf(order, "takeover");
    const key = `${order.step} ${donor}`;
    if (this.#restored?.key === key) return this.#publish(this.#restored.frame);
    this.#standing = "candidate";
    this.#takeover = key;
    this.#start("takeover", async () => {
      const isWanted = () => this.#takeover === key && !this.#isEnding;
      const { run, member: newcomer } = this.options;
      const patienceSeconds = 2 * this.welcome.heartbeatSeconds;
      const asked = { run, newcomer, donor, step: order.step, patienceSeconds, isWanted };
      this.#begin(`taking over the state of ${donor}`);
      const bytes = await this.#bench.takeOver(donorOver(this.transport, asked));
      if (!isWanted()) return;
      this.#standing = "ready";
      const frame = encodeControl({ ...this.#fields("restored"), step: order.step }, { bytes });
      this.#restored = { key, frame };
      this.#publish(frame);
    });
  }

  /** Answers a newcomer. */
  #answer({ data, respond }: Message): void {
    const { run, member } = this.options;
    const question = decodeFrame(data, run);
    if ("refused" in question) return;
    const answer = this.#bench.answer(question, { run, sender: member, step: question.step });
    if (answer) respond?.(answer);
  }

  /** Joins again: the run went on without this worker. */
  #comeBack(): void {
    if (this.#standing === "out" || this.#isEnding) return;
    this.#standing = "out";
    this.#wanted = [];
    this.#takeover = "";
    this.#restored = undefined;
    this.#bench.vectors.dropResiduals();
    this.options.onEvent?.({ kind: "out" });
    this.#rejoin().catch((error) => this.#fail(error));
  }

  async #rejoin(): Promise<void> {
    await this.#tasks.idle();
    if (this.#isEnding) return;
    const { term, generation, admitted } = await join(this.transport, this.replica, {
      ...this.options,
      nonce: this.nonce,
    });
    this.#term = term;
    this.#generation = generation;
    this.#standing = admitted ? "member" : "candidate";
    this.#beat();
  }

  /** Carries out an order for the step named once, however often it comes. */
  #obey(order: Frame, step: number, variant = ""): void {
    const key = `${order.kind} ${order.step} ${variant}`;
    if (this.#tasks.repeat(key) || order.step !== step) return;
    this.#start(key, (answer) => this.#carryOut(order, answer));
  }

  #start(key: string, work: (answer: (frame: Uint8Array) => void) => Promise<void>): void {
    if (!this.#isEnding) this.#tasks.start(key, work);
  }

  async #carryOut(order: Frame, answer: (frame: Uint8Array) => void): Promise<void> {
    const { member } = this.options;
    switch (order.kind) {
      case "evaluate": {
        const losses = await this.#bench.evaluate(messageOf(order, "evaluate").ranges[member] ?? []);
        return answer(encodeControl(this.#fields("evaluated"), { losses }));
      }
      case "save":
        if (messageOf(order, "save").writer !== member) return;
        this.#setPhase("saving");
        return answer(encodeControl(this.#fields("saved"), { place: await this.replica.save() }));
      case "pin":
        if (messageOf(order, "pin").donor !== member) return;
        this.#setPhase("copying its state for others");
        await this.#bench.pin();
        return answer(encodeControl(this.#fields("pinned"), {}));
      case "hash": {
        this.#setPhase("hashing");
        const { bytesSent, bytesReceived } = this.#bench.vectors;
        return answer(
          encodeControl(this.#fields("hashes"), { ...await this.replica.hashes(), bytesSent, bytesReceived }),
        );
      }
    }
  }

  /** Tells that this worker lives; the answer is the order that it still has to carry out. */
  async #beat(): Promise<void> {
    const { run, member } = this.options;
    const { heartbeatSeconds, silenceSeconds } = this.welcome;
    this.#bench.release(silenceSeconds);
    if (this.#standing === "out") return;
    this.#unanswered++;
    const answer = await this.transport.request(subjects.from(run, member), this.#status(), heartbeatSeconds);
    if (this.#isEnding) return;
    this.#goneSince = answer === "nobody" ? this.#goneSince ?? now() : undefined;
    if (answer instanceof Uint8Array) return this.#guard(() => this.#receive(answer));
    if (this.#goneSince !== undefined && now() - this.#goneSince >= GONE_SECONDS) {
      this.#fail(new RunError(`the coordinator of the run "${run}" is gone`));
    } else if (this.#unanswered * heartbeatSeconds >= silenceSeconds) { // counted: a frozen worker hears nothing either
      this.#fail(
        new RunError(`nothing was heard of the coordinator of the run "${run}" for ${silenceSeconds} s`),
      );
    }
  }

  #begin(phase: string): void {
    if (this.#isEnding || this.#standing === "out") throw new Halted();
    this.#setPhase(phase);
  }

  #setPhase(phase: string): void {
    this.#phase = phase;
    this.#progress++;
  }

  #status(): Uint8Array {
    return encodeControl(this.#fields("status"), { phase: this.#phase, progress: this.#progress });
  }

  #publish(frame: Uint8Array): void {
    this.transport.publish(subjects.from(this.options.run, this.options.member), frame);
  }

  #fields<K extends Frame["kind"]>(kind: K) {
    const { run, member } = this.options;
    const { step } = this.replica;
    return { kind, run, sender: member, term: this.#term, generation: this.#generation, step };
  }
}

/** Seconds on a clock that does not go back. */
function now(): number {
  return performance.now() / 1000;
}

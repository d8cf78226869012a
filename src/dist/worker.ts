/**
 * A worker: serves a replica to a run. It joins, carries out the coordinator's orders one after the other, hands out its
 * sums when they are pulled, collects the mean, and leaves when the run ends.
 *
 * @module
 */

import { RunError } from "../errors.ts";
import { computeLosses, computeSum } from "./compute.ts";
import { decodeFrame, encodeFrame, type Frame } from "./frames.ts";
import { askCoordinator, join, type Welcome } from "./joining.ts";
import { GONE_SECONDS } from "./membership.ts";
import { encodeControl, messageOf, type Range } from "./messages.ts";
import type { Replica } from "./replica.ts";
import { subjects, type Transport } from "./transport.ts";
import { subtrees } from "./tree.ts";
import { VectorExchange, type VectorFields } from "./vector_exchange.ts";

/** What a worker tells while it works. */
export type WorkerEvent =
  | { kind: "joined" }
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
  /** Leaves the run. A run with a fixed set of workers ends by it. */
  signal?: AbortSignal;
  /** Gets what happens. */
  onEvent?: (event: WorkerEvent) => void;
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
  const welcome = await join(transport, replica, options);
  const worker = new Worker(transport, replica, options, welcome);
  const leave = () => worker.stop();
  signal?.addEventListener("abort", leave);
  try {
    await worker.serve();
  } finally {
    signal?.removeEventListener("abort", leave);
  }
}

/** An order that is being carried out, or the last one that was. */
interface Task {
  key: string;
  done: boolean;
  /** What was sent to the coordinator; sent again when the order comes again. */
  answers: Uint8Array[];
  ended: Promise<void>;
}

class Worker {
  readonly #vectors: VectorExchange;
  readonly #ended = Promise.withResolvers<void>();
  #isEnding = false;
  #task: Task | undefined;
  #term: number;
  #generation: number;
  #phase = "ready";
  #progress = 0;
  #heardAt = now();
  #goneSince: number | undefined;

  constructor(
    readonly transport: Transport,
    readonly replica: Replica,
    readonly options: WorkerOptions,
    readonly welcome: Welcome,
  ) {
    const send = (fields: VectorFields) => {
      this.#progress++;
      this.#publish(encodeFrame({ ...this.#fields(fields.kind), ...fields }));
    };
    this.#vectors = new VectorExchange(replica.size, welcome.partElements, send);
    this.#term = welcome.term;
    this.#generation = welcome.generation;
  }

  /** Works until the run ends. */
  async serve(): Promise<void> {
    const { transport, options } = this;
    const receive = ({ data }: { data: Uint8Array }) => {
      try {
        this.#receive(data);
      } catch (error) {
        this.#fail(error); // in a callback it would be lost
      }
    };
    const unsubscribes = [subjects.to(options.run, options.member), subjects.all(options.run)]
      .map((subject) => transport.subscribe(subject, receive));
    const heartbeats = setInterval(() => this.#beat(), this.welcome.heartbeatSeconds * 1000);
    transport.closed.then((error) =>
      this.#fail(error ?? new RunError("the connection to the NATS server was closed"))
    );
    try {
      options.onEvent?.({ kind: "joined" });
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

  /** Lets the last micro-batch end, and tells the coordinator. */
  async #leave(error?: unknown): Promise<void> {
    const message = error === undefined ? {} : { error: wordsOf(error) };
    const { run, member } = this.options;
    const leave = encodeControl(this.#fields("leave"), message);
    await this.#task?.ended;
    await askCoordinator(this.transport, run, member, leave).catch(() => {}); // nobody is left to be told
  }

  /** One message from the coordinator. Orders of an earlier coordinator or set of members are dropped. */
  #receive(data: Uint8Array): void {
    const frame = decodeFrame(data, this.options.run);
    if ("refused" in frame) return;
    if (frame.term < this.#term || frame.generation < this.#generation) return;
    this.#term = frame.term;
    this.#generation = frame.generation;
    this.#heardAt = now();
    switch (frame.kind) {
      case "pull":
        return this.#vectors.pull(frame);
      case "mean":
        return frame.step === this.replica.step + 1 ? this.#vectors.takeMean(frame) : undefined;
      case "finish": {
        const { error } = messageOf(frame, "finish");
        return error ? this.#fail(new RunError(`the run was ended: ${error}`)) : this.stop();
      }
      case "assign":
      case "commit":
        return this.#obey(frame, this.replica.step + 1);
      case "evaluate":
      case "save":
      case "hash":
        return this.#obey(frame, this.replica.step);
    }
  }

  /** Carries out an order for the step named once, however often it comes. */
  #obey(order: Frame, step: number): void {
    const key = `${order.kind} ${order.step}`;
    const task = this.#task;
    if (task?.key === key) {
      if (task.done) { for (const answer of task.answers) this.#publish(answer); }
      return;
    }
    const isBusy = task !== undefined && !task.done;
    if (isBusy || order.step !== step || this.#isEnding) return; // it comes again while it is wanted
    const begun: Task = { key, done: false, answers: [], ended: Promise.resolve() };
    this.#task = begun;
    begun.ended = this.#carryOut(order, begun)
      .then(() => this.#setPhase("ready"), (error) => this.#fail(error))
      .finally(() => begun.done = true);
  }

  async #carryOut(order: Frame, task: Task): Promise<void> {
    const answer = (frame: Uint8Array) => {
      task.answers.push(frame);
      this.#publish(frame);
    };
    switch (order.kind) {
      case "assign":
        return await this.#compute(messageOf(order, "assign").ranges[this.options.member] ?? [0, 0], answer);
      case "commit":
        return await this.#apply(order, answer);
      case "evaluate": {
        const [lo, hi] = messageOf(order, "evaluate").ranges[this.options.member] ?? [0, 0];
        const each = (microBatch: number) => this.#begin(`evaluating micro-batch ${microBatch}`);
        const losses = await computeLosses(this.replica, lo, hi, each);
        return answer(encodeControl(this.#fields("evaluated"), { losses }));
      }
      case "save":
        if (messageOf(order, "save").writer !== this.options.member) return;
        this.#setPhase("saving");
        return answer(encodeControl(this.#fields("saved"), { place: await this.replica.save() }));
      case "hash": {
        this.#setPhase("hashing");
        const { bytesSent, bytesReceived } = this.#vectors;
        return answer(
          encodeControl(this.#fields("hashes"), { ...await this.replica.hashes(), bytesSent, bytesReceived }),
        );
      }
    }
  }

  /** Computes the subtrees of a range and offers each. */
  async #compute([lo, hi]: Range, answer: (frame: Uint8Array) => void): Promise<void> {
    const step = this.replica.step + 1;
    const each = (microBatch: number) => this.#begin(`computing micro-batch ${microBatch}`);
    for (const [from, to] of subtrees(lo, hi, this.welcome.microBatches)) {
      const { sum, reports } = await computeSum(this.replica, from, to, each);
      this.#vectors.keep(step, from, to, sum.gradient);
      const { lossSum, tokens } = sum;
      const finite = reports.every((report) => report.finite);
      const named = { ...this.#fields("offer"), step, lo: from, hi: to, lossSum, tokens, finite };
      answer(encodeControl(named, { microBatches: reports }));
    }
  }

  async #apply(order: Frame, answer: (frame: Uint8Array) => void): Promise<void> {
    const { apply, norm, loss, tokens } = messageOf(order, "commit");
    const { step } = order;
    const mean = apply ? this.#vectors.meanOf(step) : new Float32Array();
    this.#setPhase("updating");
    await this.replica.apply(mean, { step, apply, norm, tokens });
    this.#vectors.clear();
    answer(this.#status());
    this.options.onEvent?.({ kind: "applied", step, apply, loss });
  }

  /** Tells that this worker lives; the answer is the order that it still has to carry out. */
  async #beat(): Promise<void> {
    const { run, member } = this.options;
    const { heartbeatSeconds, silenceSeconds } = this.welcome;
    const answer = await this.transport.request(subjects.from(run, member), this.#status(), heartbeatSeconds);
    if (this.#isEnding) return;
    this.#goneSince = answer === "nobody" ? this.#goneSince ?? now() : undefined;
    if (answer instanceof Uint8Array) return this.#receive(answer);
    if (this.#goneSince !== undefined && now() - this.#goneSince >= GONE_SECONDS) {
      this.#fail(new RunError(`the coordinator of the run "${run}" is gone`));
    } else if (now() - this.#heardAt >= silenceSeconds) {
      this.#fail(
        new RunError(`nothing was heard of the coordinator of the run "${run}" for ${silenceSeconds} s`),
      );
    }
  }

  #begin(phase: string): void {
    if (this.#isEnding) throw new RunError("the run has ended");
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

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Seconds on a clock that does not go back. */
function now(): number {
  return performance.now() / 1000;
}

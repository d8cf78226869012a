/**
 * A run of toys whose workers join and leave during training.
 *
 * @module
 */

import { coordinate } from "../../../src/dist/coordinator.ts";
import type { CoordinateOptions } from "../../../src/dist/coordinator/options.ts";
import type {
  CommittedStep,
  CoordinationPlan,
  DistEvent,
  RunOutcome,
} from "../../../src/dist/replica/plan.ts";
import type { CheckpointStore, Replica, ReplicaState } from "../../../src/dist/replica/replica.ts";
import { runReducer } from "../../../src/dist/reducer.ts";
import type { Transport } from "../../../src/dist/protocol/transport.ts";
import { runWorker } from "../../../src/dist/worker.ts";
import type { ServeWorkerOptions } from "../../../src/dist/worker/options.ts";
import type { MemoryBus } from "./memory_bus.ts";
import { RunWatch } from "./run_watch.ts";
import type { ToyOptions } from "./toy.ts";

/** Checkpoints in memory. */
export class MemoryStore implements CheckpointStore {
  readonly states = new Map<number, ReplicaState>();

  /** None, or one that cannot be written to. */
  constructor(readonly refusal?: string) {}

  save(state: ReplicaState): Promise<string> {
    if (this.refusal !== undefined) return Promise.reject(new Error(this.refusal));
    this.states.set(state.step, structuredClone(state));
    return Promise.resolve(`store/${state.step}`);
  }

  load(step: number): Promise<ReplicaState> {
    const state = this.states.get(step);
    return state ? Promise.resolve(structuredClone(state)) : Promise.reject(new Error("no such step"));
  }
}

/** Waits that long. */
export function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** A worker of an elastic run. */
export interface ElasticWorker {
  /** Its end of the bus; closing it is as if the process died. */
  end: Transport;
  /** Lets it leave. */
  leave(): void;
  /** How it ended: undefined, or its error. */
  done: Promise<Error | undefined>;
}

/** A coordinator, and workers that the test starts when it wants. */
export class ElasticRun {
  readonly events: DistEvent[] = [];
  readonly outcome: Promise<RunOutcome>;
  readonly #listeners = new Set<() => void>();
  readonly #listening = Promise.withResolvers<void>();
  /** Workers that were started and have not joined yet. */
  readonly #newcomers = new Set<string>();
  readonly #watch: RunWatch;

  /** Gradients take a millisecond, and more while there are newcomers: the run does not end before they are in. */
  readonly patient: Pick<ToyOptions, "beforeGradient"> = {
    beforeGradient: () => pause(this.#newcomers.size > 0 ? 30 : 1),
  };

  /** @param longest seconds after which it has hung */
  constructor(
    readonly bus: MemoryBus,
    readonly plan: CoordinationPlan,
    options: CoordinateOptions = {},
    longest?: number,
  ) {
    this.#watch = new RunWatch(this.events, longest);
    const outcome = coordinate(this.#watch.over(bus.connect()), plan, {
      ...options,
      onListening: this.#listening.resolve,
      onEvent: (event) => {
        this.events.push(event);
        if (event.kind === "joined") this.#newcomers.delete(event.member);
        for (const listener of this.#listeners) listener();
      },
    });
    this.outcome = this.#untilEnd("the run", outcome);
  }

  #untilEnd<T>(what: string, work: Promise<T>): Promise<T> {
    const end = this.#watch.until(`the end of ${what}`, work);
    end.catch(() => {}); // seen where it is awaited
    return end;
  }

  /** Starts a worker once the coordinator listens. */
  async start(
    member: string,
    replica: Replica,
    changes: Partial<ServeWorkerOptions> = {},
  ): Promise<ElasticWorker> {
    await Promise.race([this.#listening.promise, this.outcome]);
    this.#newcomers.add(member);
    const end = this.bus.connect();
    const stop = new AbortController();
    const { run, id, configHash } = this.plan;
    const options = { run, id, member, configHash, atHome: true, signal: stop.signal, ...changes };
    const done = runWorker(this.#watch.over(end), replica, options)
      .then(() => undefined, (error: Error) => error);
    return { end, leave: () => stop.abort(), done: this.#untilEnd(member, done) };
  }

  /** Starts reducers, and waits until they are there; how each ends. */
  async startReducers(count: number): Promise<Promise<void>[]> {
    await Promise.race([this.#listening.promise, this.outcome]);
    const all = Array.from(
      { length: count },
      (_, i) => {
        const end = this.#watch.over(this.bus.connect()), reducer = `reducer-${i}`;
        return this.#untilEnd(reducer, runReducer(end, { run: this.plan.run, reducer }));
      },
    );
    if (count > 0) {
      await this.until((event) => event.kind === "reducerJoined" && event.reducers === count);
    }
    return all;
  }

  /** Waits until something has happened; fails where the run ends before. */
  async until(what: (event: DistEvent) => boolean): Promise<DistEvent> {
    const { promise, resolve } = Promise.withResolvers<DistEvent>();
    const look = () => {
      const event = this.events.find(what);
      if (event) resolve(event);
    };
    this.#listeners.add(look);
    look();
    const over = this.outcome.then(() => Promise.reject(new Error("the run ended before")));
    over.catch(() => {});
    return await Promise.race([promise, over]).finally(() => this.#listeners.delete(look));
  }

  /** Waits until a step was committed. */
  async step(step: number): Promise<void> {
    await this.until((event) => event.kind === "step" && event.committed.step === step);
  }

  /** Waits until a worker was admitted. */
  async joined(member: string): Promise<void> {
    await this.until((event) => event.kind === "joined" && event.member === member);
  }

  /** The steps so far. */
  get steps(): CommittedStep[] {
    return this.events.flatMap((event) => event.kind === "step" ? [event.committed] : []);
  }
}

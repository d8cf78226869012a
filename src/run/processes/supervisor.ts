/**
 * The processes of one launch: started, started again when they crash, and ended together.
 *
 * @module
 */

import { setTimeout as pause } from "node:timers/promises";
import { errorMessage, RunError } from "../../errors.ts";
import { WORKER_ENVIRONMENT } from "../../tensorflow/memory.ts";
import { type Child, type ChildExit, startChild } from "./child.ts";
import type { ChildEvent, ChildFailure, ChildOrder } from "./protocol.ts";
import { Restarts } from "./restarts.ts";

/** Milliseconds that children have to leave by themselves once the launch has ended, and again after they were asked to. */
const GRACE = 3000;

/** A process that is kept alive. */
export interface Kept {
  /** What it is to be. */
  first: ChildOrder;
  /** What it is to be when it is started again. */
  later: ChildOrder;
  /** Whether it is worth while to start it again; otherwise the whole family ends with it. */
  isWorthIt: () => boolean;
}

/** A child that failed. */
class ChildError extends RunError {
  constructor(
    message: string,
    readonly why: ChildFailure["cause"],
  ) {
    super(message);
  }
}

/** The processes of one launch. */
export class Family {
  /** Rejects with the error that ends the launch. */
  readonly failure: Promise<never>;
  /** Ends the launch. */
  readonly fail: (error: unknown) => void;
  readonly #ending = new AbortController();
  /** The latest child of each name. */
  readonly #children = new Map<string, Child>();
  /** Those that were asked to leave. */
  readonly #asked = new Set<Child>();

  /**
   * Nobody yet.
   *
   * @param onEvent gets what children tell; where it throws, the launch ends with that error
   */
  constructor(private readonly onEvent: (event: ChildEvent) => void) {
    const { promise, reject } = Promise.withResolvers<never>();
    this.failure = promise;
    this.fail = reject;
    promise.catch(() => {}); // heard by whoever awaits it
  }

  /**
   * Starts a process, and again when it crashes, until it ends well.
   *
   * @throws {RunError} where it says why it can't go on, crashes too often, or it is not worth while to start it again
   */
  async keepAlive(name: string, kept: Kept): Promise<void> {
    const { signal } = this.#ending;
    const restarts = new Restarts();
    for (let order = kept.first;; order = kept.later) {
      const startedAt = performance.now();
      try {
        return await this.#start(name, order);
      } catch (error) {
        if (signal.aborted) return;
        const cause = error instanceof ChildError ? error.why : "crash";
        const milliseconds = restarts.after(cause, performance.now() - startedAt);
        if (milliseconds === undefined && cause !== "verdict") {
          this.say(`${name} failed ${restarts.failures} times and is not started again`);
        } else if (milliseconds !== undefined && kept.isWorthIt()) {
          if (cause === "crash" || restarts.failures === 1) {
            this.say(`${errorMessage(error)}; starting it again in ${milliseconds / 1000} s`);
          }
          await pause(milliseconds, undefined, { signal }).catch(() => {}); // rejected when the launch ends meanwhile
          if (signal.aborted) return;
        }
        const isWorthIt = kept.isWorthIt(); // not at once, or not any more
        if (!isWorthIt) this.fail(error);
        if (!isWorthIt || milliseconds === undefined) throw error;
      }
    }
  }

  /** Whether none is started again. */
  get isEnding(): boolean {
    return this.#ending.signal.aborted;
  }

  /** Tells a line for people. */
  say(text: string): void {
    this.onEvent({ kind: "status", text });
  }

  /** Asks a child to leave, where it is there, once: it would take a second time for impatience. */
  stop(name: string): void {
    const child = this.#children.get(name);
    if (!child || this.#asked.has(child)) return;
    this.#asked.add(child);
    child.stop("SIGTERM");
  }

  /** Asks all to leave; none is started again. */
  letGo(): void {
    this.#ending.abort();
    for (const name of this.#children.keys()) this.stop(name);
  }

  /** Asks all to leave quickly. */
  hurry(): void {
    for (const child of this.#children.values()) child.stop("SIGTERM");
  }

  /** Waits for all to end; asks, then ends those that don't. None is started again. */
  async end(): Promise<void> {
    this.#ending.abort();
    const children = [...this.#children.values()];
    const all = Promise.all(children.map((child) => child.exited));
    for (const signal of ["SIGTERM", "SIGKILL"] as const) {
      const timer = Promise.withResolvers<"late">();
      const late = setTimeout(() => timer.resolve("late"), GRACE);
      const ended = await Promise.race([all, timer.promise]);
      clearTimeout(late);
      if (ended !== "late") return;
      for (const child of children) child.stop(signal);
    }
    await all;
  }

  /** Starts a child and waits for its end. */
  async #start(name: string, order: ChildOrder): Promise<void> {
    let failure: ChildFailure | undefined;
    const hear = (event: unknown) => {
      const told = event as ChildEvent | ChildFailure;
      if (told.kind === "failed") failure = told;
      else if (told.kind === "status" && order.role !== "coordinator") this.say(`${name} ${told.text}`);
      else this.onEvent(told);
    };
    const guarded = (event: unknown) => {
      try {
        hear(event);
      } catch (error) {
        this.fail(error);
      }
    };
    const child = startChild(name, order, guarded, order.role === "worker" ? WORKER_ENVIRONMENT : undefined);
    this.#children.set(name, child);
    const exit = await child.exited;
    if (exit.success) return;
    throw new ChildError(`${name}: ${failure?.message ?? describe(exit)}`, failure?.cause ?? "crash");
  }
}

function describe({ how, lastWords }: ChildExit): string {
  return `the process ended with ${how}${lastWords && `, after these words:\n${lastWords}`}`;
}

/**
 * The protocol between a launcher and its child processes (child.ts says how).
 *
 * @module
 */

import type { Config } from "../../config/config.ts";
import { ConfigError, errorMessage, RunError, TransientError } from "../../errors.ts";
import type { RunEvent } from "../folder/log.ts";
import { type CoordinatorOptions, startCoordinator } from "../participants/coordinator.ts";
import { type ReducerOptions, startReducer } from "../participants/reducer.ts";
import {
  startWorker,
  type WorkerOptions,
  type WorkerOutcome,
  type WorkerStep,
} from "../participants/worker.ts";

/** What a child process is to be. */
export type ChildOrder =
  | {
    role: "coordinator";
    config: Config;
    options: Pick<
      CoordinatorOptions,
      "url" | "eventsUrl" | "start" | "startWorkers" | "failover" | "isLocked"
    >;
  }
  | { role: "worker"; options: Omit<WorkerOptions, "signal" | "hurry" | "onStatus" | "onJoined" | "onStep"> }
  | { role: "reducer"; options: Omit<ReducerOptions, "signal" | "onStatus"> };

/** What a child process reports to its launcher. */
export type ChildEvent =
  | RunEvent
  | { kind: "listening" }
  | { kind: "joined" }
  /** Of a worker in the run of a coordinator elsewhere: a step, and how its part ended. */
  | { kind: "applied"; member: string; step: WorkerStep }
  | { kind: "ended"; member: string; outcome: WorkerOutcome };

/** The last report of a child process that fails. */
export interface ChildFailure {
  kind: "failed";
  /** What went wrong. */
  message: string;
  /** A crash, a transient error, or one that a restart would only meet again. */
  cause: "crash" | "transient" | "permanent";
}

/** What an error means for the process that it ended. */
export function failureOf(error: unknown): ChildFailure {
  const isPermanent = error instanceof RunError || error instanceof ConfigError;
  const cause = error instanceof TransientError ? "transient" : isPermanent ? "permanent" : "crash";
  return { kind: "failed", message: errorMessage(error), cause };
}

/** Does what a child process was ordered to do; events and status lines go to the launcher. */
export async function runChild(
  order: ChildOrder,
  { signal, hurry, report }: {
    signal: AbortSignal;
    hurry: AbortSignal;
    report: (event: ChildEvent) => void;
  },
): Promise<void> {
  if (order.role === "coordinator") {
    const onListening = () => report({ kind: "listening" });
    await startCoordinator(order.config, { ...order.options, signal, hurry, onEvent: report, onListening });
  } else {
    const onStatus = (text: string) => report({ kind: "status", text });
    if (order.role === "reducer") return await startReducer({ ...order.options, signal, onStatus });
    const { atHome, member } = order.options;
    const onJoined = () => report({ kind: "joined" });
    const onStep = (step: WorkerStep) => report({ kind: "applied", member, step });
    const options = { ...order.options, signal, hurry, onStatus, onJoined };
    if (atHome) return void await startWorker(options); // its coordinator reports
    report({ kind: "ended", member, outcome: await startWorker({ ...options, onStep }) });
  }
}

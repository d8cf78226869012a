/**
 * A reducer of a distributed run, as a function that a signal ends. It runs in a process of its own under `deno task train`
 * (src/run/processes/launch.ts), or wherever a program starts it.
 *
 * @module
 */

import { connectNats, type ReducerEvent, runReducer } from "../../dist/mod.ts";
import { ResidualFiles } from "../folder/residual_files.ts";
import { RunFolder } from "../folder/run_folder.ts";
import { byMessagesText, connectionText, NO_COORDINATOR } from "./status.ts";

/** How a reducer is started. */
export interface ReducerOptions {
  /** Address of the NATS server, with its token. */
  url: string;
  /** Name of the run. */
  run: string;
  /** Name of this machine in the run. */
  machine: string;
  /** By which the launcher that starts this process names it to the coordinator. */
  nonce?: string;
  /**
   * The run's folder, on the machine where it was started, and the name under which this reducer keeps residuals there, the same
   * when the run is resumed.
   */
  home?: { folder: string; name: string };
  /** False: vectors are sent also to processes of this machine, which read them from memory by default. */
  sharedMemory?: boolean;
  /** Leaves the run. */
  signal?: AbortSignal;
  /** Receives status lines. */
  onStatus?: (text: string) => void;
}

/** The name of a reducer: another one for each process. */
export function reducerName(machine: string, nonce: string): string {
  return `${machine.slice(0, 40)}-reducer-${nonce.slice(0, 8)}`;
}

/**
 * Reduces a share of a run's vectors in place of its coordinator, until the run ends.
 *
 * @throws {RunError} where the run has no coordinator, or ends with an error
 *
 * @example
 * ```ts ignore
 * await startReducer({ url: "nats://TOKEN@host:4222", run: "demo", machine: "left" });
 * ```
 */
export async function startReducer(options: ReducerOptions): Promise<void> {
  const { url, run, machine, home, sharedMemory: sharesMemory, signal, onStatus } = options;
  const reducer = reducerName(machine, options.nonce ?? crypto.randomUUID());
  const transport = await connectNats(url, reducer, { signal, onStatus });
  try {
    const residuals = home && new ResidualFiles(RunFolder.at(home.folder).residuals).ofMean(home.name);
    const onEvent = (event: ReducerEvent) => onStatus?.(reducerText(event));
    await runReducer(transport, { run, reducer, residuals, sharesMemory, signal, onEvent });
  } finally {
    await transport.close();
  }
}

function reducerText(event: ReducerEvent): string {
  switch (event.kind) {
    case "joined":
      return "reduces a share of the vectors";
    case "alone":
      return NO_COORDINATOR;
    case "cut off":
      return connectionText(event);
    case "by messages":
      return byMessagesText(event);
    case "residualsDropped":
      return `drops its residuals of the mean: ${event.reason}`;
  }
}

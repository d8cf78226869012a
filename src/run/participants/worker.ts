/**
 * A worker of a distributed run, as a function that a signal ends. It runs in a process of its own under `deno task train`
 * (src/run/processes/launch.ts), or wherever a program starts it.
 *
 * @module
 */

import { connectNats, fetchRun, runWorker, takeStart, type WorkerEvent } from "../../dist/mod.ts";
import { MOMENTS, type RunCheckpoints } from "../folder/checkpoints.ts";
import { ResidualFiles } from "../folder/residual_files.ts";
import { RunFolder } from "../folder/run_folder.ts";
import { mayKeepIn, ownFolder } from "../folder/worker_folder.ts";
import { openReplica } from "../replica/open_replica.ts";
import { checkedConfig, knownSourceOf } from "./received_run.ts";
import { byMessagesText, connectionText, NO_COORDINATOR } from "./status.ts";
import { fetchText } from "./text_cache.ts";

/** A step of a run that a worker takes part in. */
export interface WorkerStep {
  /** Its number, and that of the run's last one. */
  step: number;
  /** The run's last step. */
  steps: number;
  /** Mean over the step's counted tokens, nats per token. */
  loss: number;
  /** Whether it changed the parameters; it was skipped otherwise. */
  applied: boolean;
  /** Counted tokens; of a round of local steps those of all its steps. */
  tokens: number;
  /** Micro-batches of the step. */
  microBatches: number;
  /** How many of them were this worker's. */
  share: number;
}

/** How a worker's part in a run ended. */
export interface WorkerOutcome {
  /** The last step that it has applied. */
  step: number;
  /** The run's last step. */
  steps: number;
  /** The run came to its last step, was stopped before it, or continues without this worker. */
  outcome: "done" | "stopped" | "left";
}

/** How a worker is started. */
export interface WorkerOptions {
  /** Address of the NATS server, with its token. */
  url: string;
  /** Name of the run. */
  run: string;
  /** Name of this worker, another one for each in the run: letters, digits, _ and -. */
  member: string;
  /** By which the launcher that starts this process names it to the coordinator. */
  nonce?: string;
  /** Where this machine has the text. Without it a text that flashmob has a name for is looked up, and any other fetched. */
  source?: string;
  /** What computes: "tensorflow" (default) or "cpu". */
  backend?: "tensorflow" | "cpu";
  /** "gpu" or "cpu"; by default a GPU where there is one. */
  device?: "cpu" | "gpu";
  /** Which GPU of this machine. */
  gpu?: number;
  /** False: its gradients are sent also to processes of this machine, which read them from memory by default. */
  sharedMemory?: boolean;
  /**
   * The run's folder on the machine where it was started. Elsewhere a folder where this worker keeps the checkpoints that it hands
   * to the coordinator; without one it keeps only its own moments and residuals, in a place named after the run's identity.
   */
  folder?: string;
  /** Whether this is the machine where the run was started: checkpoints are written into the run's folder there. */
  atHome?: boolean;
  /** Leaves the run as soon as nothing is lost with this worker. */
  signal?: AbortSignal;
  /** Makes that quick: a state that is not saved elsewhere is kept on this machine. */
  hurry?: AbortSignal;
  /** Receives status lines. */
  onStatus?: (text: string) => void;
  /** Called when the run has admitted this worker, to compute at once or after it has restored the run's state. */
  onJoined?: () => void;
  /** Receives each step that this worker has applied. */
  onStep?: (step: WorkerStep) => void;
}

/**
 * Joins a run and computes for it until it ends. The configuration comes from the coordinator.
 *
 * @returns how that went
 * @throws {RunError} where the run does not admit this worker, or ends with an error
 *
 * @example
 * ```ts ignore
 * await startWorker({ url: "nats://TOKEN@host:4222", run: "demo", member: "worker-0", folder: "runs/demo" });
 * ```
 */
export async function startWorker(options: WorkerOptions): Promise<WorkerOutcome> {
  const { url, run, member, signal, onStatus } = options;
  const transport = await connectNats(url, member, { signal, onStatus });
  try {
    const received = await fetchRun(transport, run, member, signal);
    const { configHash, id, origin, startStep } = received;
    const config = checkedConfig(received, run);
    const {
      atHome = false,
      source = knownSourceOf(config) ?? await fetchText(transport, { run, member, signal }, onStatus),
    } = options;
    const folder = options.folder ?? ownFolder(id);
    const keepsCheckpoints = !atHome && options.folder !== undefined && await mayKeepIn(options.folder, id);
    const fetchState = ({ layout: { size } }: RunCheckpoints) => {
      onStatus?.(`restores the state of step ${startStep} from the coordinator`);
      const replica = { size, moments: MOMENTS };
      return takeStart(transport, { run, member, step: startStep, replica, signal });
    };
    const replica = await openReplica({ config, id, origin }, {
      ...options,
      source,
      folder,
      start: (checkpoints) =>
        startStep === 0 ? undefined : atHome ? checkpoints.load(startStep) : fetchState(checkpoints),
    });
    const { steps } = config.train;
    await runWorker(transport, replica, {
      run,
      id,
      member,
      nonce: options.nonce,
      configHash,
      atHome,
      keepsCheckpoints,
      sharesMemory: options.sharedMemory,
      signal,
      hurry: options.hurry,
      residuals: new ResidualFiles(RunFolder.at(folder).residuals),
      onEvent: (event) => {
        if (event.kind === "joined") options.onJoined?.();
        if (event.kind === "applied") options.onStep?.(stepOf(event, steps));
        if (event.kind === "alone") onStatus?.(NO_COORDINATOR);
        if (event.kind === "cut off") onStatus?.(connectionText(event));
        if (event.kind === "by messages") onStatus?.(byMessagesText(event));
        if (event.kind === "kept") onStatus?.(`keeps the state of step ${event.step} in ${event.place}`);
        if (event.kind === "residualsDropped") onStatus?.(`drops its residuals: ${event.reason}`);
      },
    });
    const { step } = replica;
    replica.dispose();
    const outcome = step >= steps ? "done" : signal?.aborted ? "left" : "stopped";
    return { step, steps, outcome };
  } finally {
    await transport.close();
  }
}

function stepOf(
  { kind: _, apply: applied, ...step }: WorkerEvent & { kind: "applied" },
  steps: number,
): WorkerStep {
  return { ...step, applied, steps };
}

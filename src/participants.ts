/**
 * The two kinds of participants of a distributed run, each ended by its signal: the coordinator and the worker. They run
 * in processes of their own under `deno task train` (src/launch.ts), or wherever a program starts them.
 *
 * @module
 */

import { type Config, type RunConfig, stringifyConfig } from "./config.ts";
import { loadCorpus } from "./data/corpus.ts";
import { coordinate } from "./dist/coordinator.ts";
import { fetchRun } from "./dist/joining.ts";
import { connectNats } from "./dist/nats_transport.ts";
import { runWorker } from "./dist/worker.ts";
import { learningRate } from "./model/schedule.ts";
import { planOf } from "./plan.ts";
import type { RunEvent, RunListener } from "./run_events.ts";
import { RunFolder, type Summary } from "./run_folder.ts";
import { RunLog } from "./run_log.ts";

/** How a coordinator is started. */
export interface CoordinatorOptions {
  /** Address of the NATS server, with its token. */
  url: string;
  /** The step that the run in `machine.out` goes on after. Without it the folder of a new run is made. */
  startStep?: number;
  /** Workers that it waits for before the first step; `machine.minWorkers` by default. */
  startWorkers?: number;
  /** Ends the run: the step is finished, a checkpoint saved, everybody leaves. */
  signal?: AbortSignal;
  /** Gets what happens. */
  onEvent?: RunListener;
  /** Called once workers can join. */
  onListening?: () => void;
}

/**
 * Coordinates a run: waits for workers, averages what they compute, and writes the run's metrics and summary
 * into its folder.
 *
 * @throws {ConfigError} where the corpus or the folder can't be used
 * @throws {RunError} where the run can't go on, with the words of the worker that ended it
 *
 * @example
 * ```ts ignore
 * await startCoordinator(resolveConfig({ machine: { run: "demo" } }), { url: "nats://TOKEN@127.0.0.1:4222" });
 * ```
 */
export async function startCoordinator(config: Config, options: CoordinatorOptions): Promise<Summary> {
  const { url, startStep, startWorkers, signal, onEvent = () => {}, onListening } = options;
  const onProgress = (text: string) => onEvent({ kind: "status", text });
  const corpus = await loadCorpus(config.data.source, config.data, { signal, onProgress });
  const plan = planOf(config, corpus, startStep ?? 0, startWorkers);
  if (startStep === undefined) await RunFolder.create(config.machine.out, stringifyConfig(config));
  const log = new RunLog(
    RunFolder.at(config.machine.out),
    (step) => learningRate(config.optimizer, step),
    onEvent,
  );
  const transport = await connectNats(url, "coordinator");
  try {
    return await log.finish(await coordinate(transport, plan, { signal, onEvent: log.hear, onListening }));
  } finally {
    await transport.close();
  }
}

/** How a worker is started. */
export interface WorkerOptions {
  /** Address of the NATS server, with its token. */
  url: string;
  /** Name of the run. */
  run: string;
  /** Name of this worker, another one for each in the run: letters, digits, _ and -. */
  member: string;
  /** Where this machine has the text; by default the run's own `data.source`. */
  source?: string;
  /** What computes: "tensorflow" (default) or "cpu". */
  backend?: "tensorflow" | "cpu";
  /** "gpu" or "cpu"; by default a GPU where there is one. */
  device?: "cpu" | "gpu";
  /** Which GPU of this machine. */
  gpu?: number;
  /** Folder for checkpoints: the run's own on the machine where it was started. */
  folder: string;
  /** Whether this is the machine where the run was started. Others write checkpoints only when nobody there is left. */
  atHome?: boolean;
  /** The step that the run goes on after. */
  startStep?: number;
  /** Leaves the run. */
  signal?: AbortSignal;
  /** Gets lines for people. */
  onStatus?: (text: string) => void;
}

/**
 * Joins a run and computes for it until it ends. The configuration comes from the coordinator.
 *
 * @throws {RunError} where the run does not admit this worker, or ends with an error
 *
 * @example
 * ```ts ignore
 * await startWorker({ url: "nats://TOKEN@host:4222", run: "demo", member: "worker-0", folder: "runs/demo" });
 * ```
 */
export async function startWorker(options: WorkerOptions): Promise<void> {
  const { url, run, member, signal } = options;
  const transport = await connectNats(url, member);
  try {
    const { config, configHash } = await fetchRun(transport, run, member);
    const replica = await openReplica(config as RunConfig, options);
    await runWorker(transport, replica, {
      run,
      member,
      configHash,
      atHome: options.atHome ?? false,
      signal,
    });
    replica.dispose();
  } finally {
    await transport.close();
  }
}

/** What a replica on this machine needs besides the run's configuration. */
export type ReplicaOptions = Pick<
  WorkerOptions,
  "source" | "backend" | "device" | "gpu" | "folder" | "startStep" | "signal" | "onStatus"
>;

/** A replica with this machine's backend and text, at the step that the run starts from. */
export async function openReplica(
  config: RunConfig,
  { source, backend, device, gpu, folder, startStep = 0, signal, onStatus }: ReplicaOptions,
) {
  // Loaded only here: tfjs takes a second and 100 MB that a coordinator or launcher has no use for.
  const { initBackend } = await import("./tensorflow/mod.ts");
  const { FlashReplica } = await import("./replica.ts");
  const install = { signal, onProgress: onStatus };
  const corpus = await loadCorpus(source ?? config.data.source, config.data, install);
  const info = await initBackend({ backend, threads: config.train.threads, device, gpu, ...install });
  onStatus?.(`computes with ${info.version} on ${info.deviceName}, threads: ${info.threads}`);
  const run = RunFolder.at(folder);
  const { keepLast } = config.checkpoint;
  const place = { folder: run.checkpoints, keepLast, losses: () => run.validationLosses() };
  const replica = new FlashReplica(config, corpus, info, place);
  if (startStep > 0) await replica.load(startStep);
  await replica.prepare({ onStatus, signal });
  return replica;
}

/** What a child process is to be (src/children.ts). */
export type ChildOrder =
  | {
    role: "coordinator";
    config: Config;
    options: Pick<CoordinatorOptions, "url" | "startStep" | "startWorkers">;
  }
  | { role: "worker"; options: Omit<WorkerOptions, "signal" | "onStatus"> };

/** What a child process tells its launcher. */
export type ChildEvent = RunEvent | { kind: "listening" };

/** Does what a child process was ordered to do; events and status lines go to the launcher. */
export async function runChild(
  order: ChildOrder,
  { signal, report }: { signal: AbortSignal; report: (event: ChildEvent) => void },
): Promise<void> {
  if (order.role === "coordinator") {
    const onListening = () => report({ kind: "listening" });
    await startCoordinator(order.config, { ...order.options, signal, onEvent: report, onListening });
  } else {
    await startWorker({ ...order.options, signal, onStatus: (text) => report({ kind: "status", text }) });
  }
}

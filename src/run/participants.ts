/**
 * The kinds of participants of a distributed run, each ended by its signal: coordinator, worker and reducer. They run
 * in processes of their own under `deno task train` (src/run/launch.ts), or wherever a program starts them.
 *
 * @module
 */

import { checkpointSteps, newestCheckpoint } from "../checkpoint/checkpoint.ts";
import { type Config, type RunConfig, stringifyConfig } from "../config/config.ts";
import { loadCorpus } from "../data/corpus.ts";
import { AveragingReplica } from "../dist/averaging_replica.ts";
import { coordinate } from "../dist/coordinator.ts";
import { fetchRun } from "../dist/joining.ts";
import { takeNatsLease } from "../dist/nats_lease.ts";
import { connectNats } from "../dist/nats_transport.ts";
import type { Replica } from "../dist/replica.ts";
import { type ReducerEvent, runReducer } from "../dist/reducer.ts";
import { runWorker } from "../dist/worker.ts";
import { ConfigError, RunError, TransientError, wordsOf } from "../errors.ts";
import { learningRate } from "../model/schedule.ts";
import { averagingOf, planOf } from "./plan.ts";
import type { RunEvent, RunListener } from "./events.ts";
import { RunFolder, type Summary } from "./folder.ts";
import { RunLog } from "./log.ts";
import { ResidualFiles } from "./residual_files.ts";

/** How a coordinator is started. */
export interface CoordinatorOptions {
  /** Address of the NATS server, with its token. */
  url: string;
  /** The step that the run in `machine.out` goes on after. Without it the folder of a new run is made. */
  startStep?: number;
  /** Goes on with the run in `machine.out` together with the workers that live, or from its newest checkpoint. */
  takeOver?: boolean;
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
  const { url, takeOver, startWorkers, signal, onEvent = () => {}, onListening } = options;
  const { machine, data, optimizer } = config;
  const onProgress = (text: string) => onEvent({ kind: "status", text });
  const corpus = await loadCorpus(data.source, data, { signal, onProgress });
  const plan = planOf(config, corpus, startWorkers);
  const folder = RunFolder.at(machine.out);
  const startStep = takeOver
    ? await newestCheckpoint(folder.checkpoints, onProgress) ?? 0
    : options.startStep;
  if (startStep === undefined) await RunFolder.create(machine.out, stringifyConfig(config));
  const record = folder.record();
  await using resources = new AsyncDisposableStack();
  const log = resources.use(new RunLog(folder, (step) => learningRate(optimizer, step), onEvent));
  const transport = await connectNats(url, "coordinator", { signal, onStatus: onProgress });
  resources.defer(() => transport.close());
  const outcome = await coordinate(transport, { ...plan, startStep: startStep ?? 0, record }, {
    signal,
    onEvent: log.hear,
    onListening,
    residuals: new ResidualFiles(folder.residuals),
    takeLease: async () => resources.use(await takeNatsLease(url, machine.run)),
    takeOver: takeOver ? { expected: record.workers, recall: (step) => log.takeOver(step) } : undefined,
  });
  return await log.finish(outcome);
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
  /** Leaves the run. */
  signal?: AbortSignal;
  /** Gets lines for people. */
  onStatus?: (text: string) => void;
  /** Called when the run has admitted this worker, to compute at once or after it has taken the state over. */
  onJoined?: () => void;
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
  const { url, run, member, signal, onStatus } = options;
  const transport = await connectNats(url, member, { signal, onStatus });
  try {
    const { config, configHash, startStep } = await fetchRun(transport, run, member, signal);
    const replica = await openReplica(config as RunConfig, { ...options, startStep });
    await runWorker(transport, replica, {
      run,
      member,
      configHash,
      atHome: options.atHome ?? false,
      signal,
      residuals: new ResidualFiles(RunFolder.at(options.folder).residuals),
      onEvent: (event) => {
        if (event.kind === "joined") options.onJoined?.();
        if (event.kind === "alone") onStatus?.(ALONE);
        if (event.kind === "cut off") onStatus?.(connectionText(event));
        if (event.kind === "residualsDropped") onStatus?.(`drops its residuals: ${event.reason}`);
      },
    });
    replica.dispose();
  } finally {
    await transport.close();
  }
}

/** How a reducer is started. */
export interface ReducerOptions {
  /** Address of the NATS server, with its token. */
  url: string;
  /** Name of the run. */
  run: string;
  /** Name of this machine in the run. */
  machine: string;
  /**
   * The run's folder, on the machine where it was started, and the name under which this reducer keeps residuals there, the same
   * when the run is resumed.
   */
  home?: { folder: string; name: string };
  /** Leaves the run. */
  signal?: AbortSignal;
  /** Gets lines for people. */
  onStatus?: (text: string) => void;
}

/**
 * Averages a share of a run's vectors in place of its coordinator, until the run ends.
 *
 * @throws {RunError} where nobody coordinates the run, or it ends with an error
 *
 * @example
 * ```ts ignore
 * await startReducer({ url: "nats://TOKEN@host:4222", run: "demo", machine: "left" });
 * ```
 */
export async function startReducer(options: ReducerOptions): Promise<void> {
  const { url, run, machine, home, signal, onStatus } = options;
  const reducer = `${machine.slice(0, 40)}-reducer-${crypto.randomUUID().slice(0, 8)}`; // another one each time
  const transport = await connectNats(url, reducer, { signal, onStatus });
  try {
    const residuals = home && new ResidualFiles(RunFolder.at(home.folder).residuals).ofMean(home.name);
    const onEvent = (event: ReducerEvent) => onStatus?.(reducerText(event));
    await runReducer(transport, { run, reducer, residuals, signal, onEvent });
  } finally {
    await transport.close();
  }
}

function reducerText(event: ReducerEvent): string {
  switch (event.kind) {
    case "joined":
      return "averages a share of the vectors";
    case "alone":
      return ALONE;
    case "cut off":
      return connectionText(event);
    case "residualsDropped":
      return `drops its residuals of the mean: ${event.reason}`;
  }
}

/** What a worker or a reducer says that hears nothing of its coordinator. */
const ALONE = "has lost the coordinator, and waits for it to come back or for another one";

function connectionText({ isCutOff }: { isCutOff: boolean }): string {
  return isCutOff ? "waits for the NATS server to be there again" : "is connected to the NATS server again";
}

/** What a replica on this machine needs besides the run's configuration. */
export interface ReplicaOptions
  extends Pick<WorkerOptions, "source" | "backend" | "device" | "gpu" | "folder" | "signal" | "onStatus"> {
  /** Name of the worker that it is for; a single process has none. */
  member?: string;
  /** The step that the run starts after: 0 by default, or that of a checkpoint in the folder. */
  startStep?: number;
}

/** A replica with this machine's backend and text, at the step that the run starts from. */
export async function openReplica(
  config: RunConfig,
  { source, backend, device, gpu, folder, member, startStep = 0, signal, onStatus }: ReplicaOptions,
): Promise<Replica> {
  // Loaded only here: tfjs takes a second and 100 MB that a coordinator or launcher has no use for.
  const { initBackend } = await import("../tensorflow/mod.ts");
  const { FlashReplica } = await import("./replica.ts");
  const install = { signal, onProgress: onStatus };
  const corpus = await loadCorpus(source ?? config.data.source, config.data, install);
  const info = await initBackend({ backend, threads: config.train.threads, device, gpu, ...install });
  onStatus?.(`computes with ${info.version} on ${info.deviceName}, threads: ${info.threads}`);
  const run = RunFolder.at(folder);
  if (startStep > 0 && !(await checkpointSteps(run.checkpoints)).includes(startStep)) {
    throw new RunError(
      `the run goes on after step ${startStep}, and ${run.checkpoints} has no checkpoint of it; name the run's folder with ` +
        "--out, or join once the run is under way",
    );
  }
  const { keepLast } = config.checkpoint;
  const place = { folder: run.checkpoints, keepLast, member, losses: () => run.validationLosses() };
  const flash = new FlashReplica(config, corpus, info, place);
  const state = startStep > 0 ? await flash.load(startStep, onStatus) : undefined;
  await flash.prepare({ onStatus, signal });
  const averaging = averagingOf(config);
  if (!averaging) return flash;
  const replica = new AveragingReplica(flash, averaging.outer);
  if (state) await replica.restore(state);
  return replica;
}

/** What a child process is to be (src/run/children.ts). */
export type ChildOrder =
  | {
    role: "coordinator";
    config: Config;
    options: Pick<CoordinatorOptions, "url" | "startStep" | "startWorkers" | "takeOver">;
  }
  | { role: "worker"; options: Omit<WorkerOptions, "signal" | "onStatus" | "onJoined"> }
  | { role: "reducer"; options: Omit<ReducerOptions, "signal" | "onStatus"> };

/** What a child process tells its launcher. */
export type ChildEvent = RunEvent | { kind: "listening" } | { kind: "joined" };

/** The last that a child process tells its launcher when it fails. */
export interface ChildFailure {
  kind: "failed";
  /** What went wrong. */
  message: string;
  /** A crash, a reason that may pass, or one for which it would fail again. */
  cause: "crash" | "passing" | "verdict";
}

/** What an error means for the process that it ended. */
export function failureOf(error: unknown): ChildFailure {
  const isVerdict = error instanceof RunError || error instanceof ConfigError;
  const cause = error instanceof TransientError ? "passing" : isVerdict ? "verdict" : "crash";
  return { kind: "failed", message: wordsOf(error), cause };
}

/** Does what a child process was ordered to do; events and status lines go to the launcher. */
export async function runChild(
  order: ChildOrder,
  { signal, report }: { signal: AbortSignal; report: (event: ChildEvent) => void },
): Promise<void> {
  if (order.role === "coordinator") {
    const onListening = () => report({ kind: "listening" });
    await startCoordinator(order.config, { ...order.options, signal, onEvent: report, onListening });
  } else {
    const onStatus = (text: string) => report({ kind: "status", text });
    if (order.role === "reducer") return await startReducer({ ...order.options, signal, onStatus });
    const onJoined = () => report({ kind: "joined" });
    await startWorker({ ...order.options, signal, onStatus, onJoined });
  }
}

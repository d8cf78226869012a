/**
 * The kinds of participants of a distributed run, each ended by its signal: coordinator, worker and reducer. They run
 * in processes of their own under `deno task train` (src/run/launch.ts), or wherever a program starts them.
 *
 * @module
 */

import { type Config, runPart, stringifyConfig, withNewIdentity } from "../config/config.ts";
import { type Corpus, loadCorpus } from "../data/corpus.ts";
import { DATA_BEGINS } from "../data/microbatch.ts";
import { learningRate } from "../model/schedule.ts";
import { MOMENTS, RunCheckpoints } from "./checkpoints.ts";
import type { RunListener } from "./events.ts";
import { fetchText } from "./fetched_text.ts";
import { RunFolder, type Summary } from "./folder.ts";
import { RunLog } from "./log.ts";
import { openReplica } from "./open_replica.ts";
import { mayKeepIn, ownFolder } from "./own_folder.ts";
import { planOf } from "./plan.ts";
import { ResidualFiles } from "./residual_files.ts";
import { openRun, type ResumePoint } from "./resume.ts";
import { configOf, knownSourceOf } from "./told.ts";
import {
  connectNats,
  coordinate,
  fetchRun,
  type ReducerEvent,
  runReducer,
  runWorker,
  takeNatsLease,
  takeStart,
} from "../dist/mod.ts";

/** How a coordinator is started. */
export interface CoordinatorOptions {
  /** Address of the NATS server, with its token. */
  url: string;
  /** Where the run in `machine.out` is resumed, or begins. Without it the folder of a new run is made. */
  start?: { step: number; origin: { step: number; samples: number } };
  /** Continues the run in `machine.out` together with the workers that live, or from its newest checkpoint. */
  takeOver?: boolean;
  /** Resumes the run in `machine.out` from the checkpoint of this step, 0 for the beginning, whatever workers have. */
  fromStep?: number;
  /** Workers that it waits for before the first step; `machine.minWorkers` by default. */
  startWorkers?: number;
  /** Whether the process that has started this one holds the lock of the run's folder. */
  isLocked?: boolean;
  /** Ends the run: the step is finished, a checkpoint saved, everybody leaves. */
  signal?: AbortSignal;
  /** Has that be quick: a checkpoint that is in flight stays on the machine that it comes from. */
  hurry?: AbortSignal;
  /** Gets what happens. */
  onEvent?: RunListener;
  /** Called once workers can join. */
  onListening?: () => void;
}

/**
 * Coordinates a run: waits for workers, averages what they compute, and keeps the run's metrics, checkpoints and summary in
 * its folder.
 *
 * @throws {ConfigError} where the corpus or the folder can't be used
 * @throws {RunError} where the run can't be continued, with the words of the worker that ended it
 *
 * @example
 * ```ts ignore
 * await startCoordinator(resolveConfig({ machine: { run: "demo" } }), { url: "nats://TOKEN@127.0.0.1:4222" });
 * ```
 */
export async function startCoordinator(config: Config, options: CoordinatorOptions): Promise<Summary> {
  const { url, takeOver, startWorkers, signal, hurry, onEvent = () => {}, onListening } = options;
  const onProgress = (text: string) => onEvent({ kind: "status", text });
  const onSkipped = options.start ? undefined : onProgress; // else the launcher has said it
  const corpus = await loadCorpus(config.data.source, config.data, { signal, onProgress, onSkipped });
  const common = planOf(config, corpus, startWorkers); // finds out whether the corpus is long enough
  const folder = RunFolder.at(config.machine.out);
  await using resources = new AsyncDisposableStack();
  const lock = options.isLocked ? undefined : resources.use(await folder.lock({ signal, say: onProgress }));
  const point = await startOf(config, corpus, options, onProgress);
  const { step: startStep, origin, missing, config: { id, optimizer, machine } } = point;
  const checkpoints = new RunCheckpoints(folder.checkpoints, {
    run: id,
    config: runPart(config),
    corpus: { bytes: corpus.bytes, sha256: corpus.sha256 },
    origin,
    losses: () => folder.validationLosses(),
  });
  const startHash = startStep > 0 ? await checkpoints.stateHash(startStep) : undefined;
  const record = folder.record();
  const log = resources.use(new RunLog(folder, (step) => learningRate(optimizer, step), onEvent));
  const transport = await connectNats(url, "coordinator", { signal, onStatus: onProgress });
  resources.defer(() => transport.close());
  const coordinated = coordinate(transport, { ...common, id, origin, startStep, startHash, record }, {
    signal,
    hurry,
    onEvent: log.hear,
    onListening,
    residuals: new ResidualFiles(folder.residuals),
    checkpoints,
    text: { pieces: [corpus.train, corpus.validation], files: corpus.files, sha256: corpus.sha256 },
    takeLease: async () => resources.use(await takeNatsLease(url, machine.run)),
    takeOver: takeOver
      ? { expected: record.workers, recall: (step) => log.takeOver(step), missing }
      : undefined,
  });
  return await log.finish(await (lock ? Promise.race([coordinated, lock.lost]) : coordinated));
}

/** Where the run begins: its folder is made, or opened. */
async function startOf(
  config: Config,
  corpus: Corpus,
  { start, takeOver, fromStep }: CoordinatorOptions,
  say: (text: string) => void,
): Promise<ResumePoint> {
  if (takeOver) return await openRun(config, corpus, say);
  if (fromStep !== undefined) {
    const point = await openRun(config, corpus, say, fromStep);
    RunFolder.at(config.machine.out).resumeFrom(point.step);
    return point;
  }
  const identified = config.id === undefined || !start
    ? withNewIdentity(config)
    : { ...config, id: config.id };
  if (start) return { config: identified, ...start };
  await RunFolder.create(config.machine.out, stringifyConfig(identified));
  return { config: identified, step: 0, origin: DATA_BEGINS };
}

/** How a worker is started. */
export interface WorkerOptions {
  /** Address of the NATS server, with its token. */
  url: string;
  /** Name of the run. */
  run: string;
  /** Name of this worker, another one for each in the run: letters, digits, _ and -. */
  member: string;
  /** Where this machine has the text. Without it only a text that flashmob knows by name is found. */
  source?: string;
  /** What computes: "tensorflow" (default) or "cpu". */
  backend?: "tensorflow" | "cpu";
  /** "gpu" or "cpu"; by default a GPU where there is one. */
  device?: "cpu" | "gpu";
  /** Which GPU of this machine. */
  gpu?: number;
  /**
   * The run's folder on the machine where it was started. Elsewhere a folder where this worker keeps the checkpoints that it hands
   * to the coordinator; without one it keeps only what is its own, in a place named after the run's identity.
   */
  folder?: string;
  /** Whether this is the machine where the run was started: checkpoints are written into the run's folder there. */
  atHome?: boolean;
  /** Leaves the run, as soon as nothing is lost with this worker. */
  signal?: AbortSignal;
  /** Has that be quick: a state that nobody has saved is kept on this machine. */
  hurry?: AbortSignal;
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
    const told = await fetchRun(transport, run, member, signal);
    const { configHash, id, origin, startStep } = told;
    const config = configOf(told, run);
    const {
      atHome = false,
      source = knownSourceOf(config) ?? await fetchText(transport, { run, member, signal }, onStatus),
    } = options;
    const folder = options.folder ?? ownFolder(id);
    const keepsCheckpoints = !atHome && options.folder !== undefined && await mayKeepIn(options.folder, id);
    const fetchState = ({ layout: { size } }: RunCheckpoints) => {
      onStatus?.(`takes the state of step ${startStep} from the coordinator`);
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
    await runWorker(transport, replica, {
      run,
      id,
      member,
      configHash,
      atHome,
      keepsCheckpoints,
      signal,
      hurry: options.hurry,
      residuals: new ResidualFiles(RunFolder.at(folder).residuals),
      onEvent: (event) => {
        if (event.kind === "joined") options.onJoined?.();
        if (event.kind === "alone") onStatus?.(ALONE);
        if (event.kind === "cut off") onStatus?.(connectionText(event));
        if (event.kind === "kept") onStatus?.(`keeps the state of step ${event.step} in ${event.place}`);
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

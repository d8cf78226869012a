/**
 * The coordinator of a distributed run, as a function that a signal ends. It runs in a process of its own under `deno task train`
 * (src/run/processes/launch.ts), or wherever a program starts it.
 *
 * @module
 */

import { type Config, runPart, withNewIdentity } from "../../config/config.ts";
import { type Corpus, loadCorpus } from "../../data/corpus.ts";
import {
  connectNats,
  coordinate,
  type CoordinationPlan,
  type DistEvent,
  takeNatsLease,
  watchConnections,
} from "../../dist/mod.ts";
import { learningRate } from "../../model/optimizer/schedule.ts";
import { RunCheckpoints } from "../folder/checkpoints.ts";
import { recordEnding } from "../folder/ending.ts";
import type { FolderLock } from "../folder/lock.ts";
import { type RunListener, RunLog } from "../folder/log.ts";
import type { MetricsRecord } from "../folder/metrics.ts";
import { ResidualFiles } from "../folder/residual_files.ts";
import { openRun, type StartPoint } from "../folder/resume.ts";
import { RunFolder } from "../folder/run_folder.ts";
import type { Summary } from "../folder/summary.ts";
import { beginRun, finishedRun, resumeRun, tellFinished } from "../folder/start.ts";
import { runCard } from "../replica/run_card.ts";
import { openTensorBoard } from "../folder/tensorboard.ts";
import { planOf } from "../replica/run_plan.ts";

/** How a coordinator is started. */
export interface CoordinatorOptions {
  /** Address of the NATS server, with the credentials. */
  url: string;
  /** Where that server says which connections close, if it is our own. */
  eventsUrl?: string;
  /** Where the run in `machine.out` starts, whose folder is there. Without it the folder of a new run is made. */
  start?: { step: number; origin: { step: number; samples: number } };
  /** Failover: continues the run in `machine.out` with the workers that are alive, or from its newest checkpoint. */
  failover?: boolean;
  /** Resumes the run in `machine.out` from the checkpoint of this step, 0 for the beginning, whatever workers have. */
  fromStep?: number;
  /** Workers that it waits for before the first step; `machine.minWorkers` by default. */
  startWorkers?: number;
  /** Whether the process that has started this one holds the lock of the run's folder. */
  isLocked?: boolean;
  /** Ends the run: the step is finished, a checkpoint saved, all members leave. */
  signal?: AbortSignal;
  /** Makes that quick: a checkpoint that is in flight stays on the machine that it comes from. */
  hurry?: AbortSignal;
  /** Receives the run's events. */
  onEvent?: RunListener;
  /** Called once workers can join. */
  onListening?: () => void;
}

/**
 * Coordinates a run: waits for workers, reduces their gradients, and keeps the run's metrics, checkpoints and summary in
 * its folder.
 *
 * @throws {ConfigError} where the corpus or the folder can't be used
 * @throws {RunError} where the run can't be continued, with the message of the worker that ended it
 *
 * @example
 * ```ts ignore
 * await startCoordinator(resolveConfig({ machine: { run: "demo" } }), { url: "nats://TOKEN@127.0.0.1:4222" });
 * ```
 */
export async function startCoordinator(config: Config, options: CoordinatorOptions): Promise<Summary> {
  const { failover, signal, onEvent = () => {} } = options;
  const onProgress = (text: string) => onEvent({ kind: "status", text });
  const finished = failover && !options.isLocked ? await finishedRun(config) : undefined;
  if (finished) return tellFinished(finished, onEvent);
  const onSkipped = options.start ? undefined : onProgress; // else the launcher has reported it
  const corpus = await loadCorpus(config.data.source, config.data, { signal, onProgress, onSkipped });
  planOf(config, corpus); // throws where the corpus is too short
  const folder = RunFolder.at(config.machine.out);
  using lock = options.isLocked ? undefined : await folder.lock({ signal, say: onProgress });
  const point = await startPointOf(config, corpus, options, onProgress);
  let hasBegun = !failover;
  const run = serve({
    ...{ corpus, folder, lock, point, options, onEvent },
    onRecalled: () => hasBegun = true,
  });
  return await (lock ? recordEnding(run, { folder, lock, onEvent, signal, hasBegun: () => hasBegun }) : run);
}

/** What {@linkcode startCoordinator} has prepared. */
interface Prepared {
  corpus: Corpus;
  folder: RunFolder;
  lock?: FolderLock;
  point: StartPoint;
  options: CoordinatorOptions;
  onEvent: RunListener;
  /** Called when a failover continues the run. */
  onRecalled: () => void;
}

/** Serves the run until its end. */
async function serve(prepared: Prepared): Promise<Summary> {
  const { corpus, folder, lock, point, onEvent, options } = prepared;
  const { url, eventsUrl, failover, signal, hurry, onListening } = options;
  await using resources = new AsyncDisposableStack();
  const checkpoints = checkpointsOf(prepared);
  const plan = await planAtStart(prepared, checkpoints);
  const log = resources.use(openLog(prepared));
  const onStatus = (text: string) => onEvent({ kind: "status", text });
  const transport = await connectNats(url, "coordinator", { signal, onStatus });
  resources.defer(() => transport.close());
  const tellCard = await cardTeller(prepared, log);
  if (!failover) tellCard(plan.startStep);
  const coordinated = coordinate(transport, plan, {
    signal,
    hurry,
    onListening,
    sharesMemory: point.config.machine.sharedMemory,
    onEvent: withIdleTold(plan, log),
    residuals: new ResidualFiles(folder.residuals),
    checkpoints,
    text: { pieces: [corpus.train, corpus.validation], files: corpus.files, sha256: corpus.sha256 },
    takeLease: async () => resources.use(await takeNatsLease(url, point.config.machine.run)),
    watchConnections: eventsUrl === undefined ? undefined : async (onClosed) => {
      resources.use(await watchConnections(eventsUrl, onClosed, { signal, onStatus }));
    },
    takeOver: failover ? takeOverOf(prepared, plan.record, log, tellCard) : undefined,
  });
  return await log.finish(await (lock ? Promise.race([coordinated, lock.lost]) : coordinated));
}

/** What the run is to do from where it starts. */
async function planAtStart({ corpus, folder, point, options }: Prepared, checkpoints: RunCheckpoints) {
  const { config, step: startStep, origin } = point;
  const startHash = startStep > 0 ? await checkpoints.stateHash(startStep) : undefined;
  const { id } = config;
  const plan = planOf(config, corpus, options.startWorkers);
  return { ...plan, id, origin, startStep, startHash, record: folder.record() };
}

/** The log in the run's folder. */
function openLog({ folder, point: { config }, onEvent }: Prepared): RunLog {
  const tensorBoard = openTensorBoard(folder, config, (text) => onEvent({ kind: "status", text }));
  return new RunLog(folder, (step) => learningRate(config.optimizer, step), onEvent, tensorBoard);
}

/** Tells what the run is, at the step where it starts, unless the process that has started this one has told it. */
async function cardTeller(
  { corpus, lock, point: { config, origin } }: Prepared,
  log: RunLog,
): Promise<(step: number) => void> {
  const card = lock && await runCard(config, corpus, origin, false);
  return (step) => card && log.record({ event: "started", step, card });
}

/** How a failover continues the run. */
function takeOverOf(
  { point: { missing }, onRecalled }: Prepared,
  { workers: expected }: MetricsRecord,
  log: RunLog,
  tellCard: (step: number) => void,
) {
  const recall = (step: number) => {
    onRecalled();
    const recalled = log.continueFrom(step);
    tellCard(step);
    return recalled;
  };
  return { expected, recall, missing };
}

/** The checkpoints in the run's folder. */
function checkpointsOf({ corpus: { bytes, sha256 }, folder, point }: Prepared): RunCheckpoints {
  const { origin, config } = point;
  return new RunCheckpoints(folder.checkpoints, {
    run: config.id,
    config: runPart(config),
    corpus: { bytes, sha256 },
    origin,
    losses: () => folder.validationLosses(),
  });
}

/** The log's listener, which also tells, once, that there are more members than micro-batches for them to compute. */
function withIdleTold(
  { microBatches }: Pick<CoordinationPlan, "microBatches">,
  log: RunLog,
): (event: DistEvent) => void {
  let isTold = false;
  return (event) => {
    log.handle(event);
    if (isTold || event.kind !== "joined" || event.members <= microBatches) return;
    isTold = true;
    log.say(
      `there are more workers, ${event.members}, than micro-batches in a step, ${microBatches}: the others only stand by; ` +
        "a larger train.batch would give them work",
    );
  };
}

/** Where the run starts. Its folder is made or opened here, unless the process that has started this one did so. */
async function startPointOf(
  config: Config,
  corpus: Corpus,
  { start, failover, fromStep }: CoordinatorOptions,
  say: (text: string) => void,
): Promise<StartPoint> {
  if (failover) return await openRun(config, corpus, say);
  if (fromStep !== undefined) return await resumeRun(config, corpus, say, fromStep);
  if (!start) return await beginRun(config);
  const { id } = config;
  return { config: id === undefined ? withNewIdentity(config) : { ...config, id }, ...start };
}

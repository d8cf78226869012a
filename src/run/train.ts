/**
 * Training a model, from configuration to summary: what `deno task train` does, as a function.
 *
 * @module
 */

import { type Config, type ConfigInput, resolveConfig, runPart } from "../config/config.ts";
import { type Corpus, loadCorpus } from "../data/corpus.ts";
import { ConfigError } from "../errors.ts";
import { type LaunchOptions, launchRun } from "./processes/launch.ts";
import { learningRate } from "../model/optimizer/schedule.ts";
import { openReplica } from "./replica/open_replica.ts";
import { runCard } from "./replica/run_card.ts";
import { planOf } from "./replica/run_plan.ts";
import type { StartPoint } from "./folder/resume.ts";
import { beginRun, finishedRun, resumeRun, tellFinished } from "./folder/start.ts";
import { RunFolder } from "./folder/run_folder.ts";
import type { Summary } from "./folder/summary.ts";
import { openTensorBoard } from "./folder/tensorboard.ts";
import type { StepMetrics } from "./folder/metrics.ts";
import { recordEnding } from "./folder/ending.ts";
import { recordHappening, type RunListener, RunLog } from "./folder/log.ts";
import { defaultDevice, findLibrary } from "../tensorflow/library.ts";
import { runSingle } from "../dist/mod.ts";

/** How a run is watched and stopped. */
export interface TrainOptions {
  /** Resumes the run in `machine.out` instead of starting one. */
  resume?: boolean;
  /** Resumes from the checkpoint of this step (0: from the beginning), whatever the run's record says; later ones are set aside. */
  fromStep?: number;
  /** Ends the run: the step is finished and a checkpoint saved. */
  signal?: AbortSignal;
  /** Receives each step as it commits. */
  onStep?: (metrics: StepMetrics) => void;
  /** Receives every event. */
  onEvent?: RunListener;
}

/**
 * Trains a FLASHTransformer on a text: with `machine.workers` worker processes and a coordinator over a NATS server of its own, or
 * in this process where that is 0. The result is the same, bit for bit.
 *
 * @param config what differs from the defaults
 * @returns what `summary.json` says
 * @throws {ConfigError} where the configuration, the text or the folder can't be used
 * @throws {RunError} where the run can't continue
 *
 * @example
 * ```ts ignore
 * const { loss } = await train({ train: { steps: 100 }, machine: { workers: 2 } }, { onStep: console.log });
 * ```
 */
export async function train(config: ConfigInput, options: TrainOptions = {}): Promise<Summary> {
  const { signal, onStep, onEvent = () => {} } = options;
  const listener: RunListener = (event) => {
    if (event.kind === "step") onStep?.(event.metrics);
    onEvent(event);
  };
  const resolved = resolveConfig(config);
  requireEnoughWorkers(resolved);
  const onProgress = (text: string) => listener({ kind: "status", text });
  const folder = RunFolder.at(resolved.machine.out);
  if (options.resume && !await folder.exists()) {
    throw new ConfigError([`--resume ${folder.path}: there is no run in it to resume`]);
  }
  const finished = options.resume && options.fromStep === undefined ? await finishedRun(resolved) : undefined;
  if (finished) return tellFinished(finished, listener);
  const corpus = await loadCorpus(resolved.data.source, resolved.data, {
    signal,
    onProgress,
    onSkipped: onProgress,
  });
  planOf(resolved, corpus); // throws where the corpus is too short
  using lock = await folder.lock({ signal, say: onProgress });
  const start = await beginOrResume(resolved, corpus, options, onProgress);
  const card = await runCard(resolved, corpus, start.origin, true);
  recordHappening(folder, listener, { event: "started", step: start.step, card });
  const run = resolved.machine.workers > 0
    ? launch(start, { signal, onEvent: listener })
    : trainInProcess(start, corpus, { signal, onEvent: listener });
  const ended = Promise.race([run, lock.lost]);
  return await recordEnding(ended, { folder, lock, onEvent: listener, signal });
}

/** Makes the folder of a new run, or opens that of one that is resumed. */
async function beginOrResume(
  config: Config,
  corpus: Corpus,
  { resume, fromStep }: TrainOptions,
  say: (text: string) => void,
): Promise<StartPoint> {
  if (!resume) return await beginRun(config);
  const point = await resumeRun(config, corpus, say, fromStep);
  say(
    point.step === 0
      ? "the run has no checkpoint yet and begins with step 1"
      : `continues from step ${point.step}`,
  );
  return point;
}

async function launch({ config, step, origin }: StartPoint, options: LaunchOptions): Promise<Summary> {
  const { signal, onEvent } = options;
  if (config.machine.backend === "tensorflow") { // fetched once, before all workers want it
    const device = config.machine.device ?? await defaultDevice();
    await findLibrary(device, { onProgress: (text) => onEvent({ kind: "status", text }), signal });
  }
  return await launchRun(config, { step, origin }, options);
}

async function trainInProcess(
  { config, step: startStep, origin }: StartPoint,
  corpus: Corpus,
  { signal, onEvent }: LaunchOptions,
): Promise<Summary> {
  const { backend, device, out } = config.machine;
  const folder = RunFolder.at(out);
  const replica = await openReplica({ id: config.id, config: runPart(config), origin }, {
    backend,
    device,
    folder: out,
    atHome: true,
    start: (checkpoints) => startStep > 0 ? checkpoints.load(startStep) : undefined,
    signal,
    onStatus: (text) => onEvent({ kind: "status", text }),
  });
  const plan = { ...planOf(config, corpus), id: config.id, origin, startStep, record: folder.record() };
  const tensorBoard = openTensorBoard(folder, config, (text) => onEvent({ kind: "status", text }));
  using log = new RunLog(folder, (step) => learningRate(config.optimizer, step), onEvent, tensorBoard);
  try {
    return await log.finish(await runSingle(replica, plan, { signal, onEvent: log.handle }));
  } finally {
    replica.dispose();
  }
}

/** No other machine can join a run whose workers and server are this machine's own. */
function requireEnoughWorkers({ machine: { workers, minWorkers } }: Config): void {
  if (workers === 0 || minWorkers <= workers) return;
  throw new ConfigError([
    `machine.minWorkers: expected at most machine.workers ${workers}, found ${minWorkers}; a run that other machines join ` +
    "is started with deno task coordinator",
  ]);
}

/**
 * Training a model, from configuration to summary: what `deno task train` does, as a function.
 *
 * @module
 */

import { type Config, type ConfigInput, resolveConfig, stringifyConfig } from "../config/config.ts";
import { loadCorpus } from "../data/corpus.ts";
import { runSingle } from "../dist/single.ts";
import { ConfigError } from "../errors.ts";
import { launchRun } from "./launch.ts";
import { learningRate } from "../model/schedule.ts";
import { openReplica } from "./participants.ts";
import { planOf } from "./plan.ts";
import { openRun } from "./resume.ts";
import type { RunListener } from "./events.ts";
import { RunFolder, type StepMetrics, type Summary } from "./folder.ts";
import { RunLog } from "./log.ts";
import { defaultDevice, findLibrary } from "../tensorflow/library.ts";

/** How a run is watched and stopped. */
export interface TrainOptions {
  /** Goes on with the run in `machine.out` instead of starting one. */
  resume?: boolean;
  /** Ends the run: the step is finished and a checkpoint saved. */
  signal?: AbortSignal;
  /** Gets each step as it commits. */
  onStep?: (metrics: StepMetrics) => void;
  /** Gets everything that happens. */
  onEvent?: RunListener;
}

/**
 * Trains a FLASHTransformer on a text: with `machine.workers` worker processes and a coordinator over a NATS server of its own, or
 * in this process where that is 0. The result is the same, bit for bit.
 *
 * @param config what differs from the defaults
 * @returns what `summary.json` says
 * @throws {ConfigError} where the configuration, the text or the folder can't be used
 * @throws {RunError} where the run can't go on
 *
 * @example
 * ```ts ignore
 * const { loss } = await train({ train: { steps: 100 }, machine: { workers: 2 } }, { onStep: console.log });
 * ```
 */
export async function train(config: ConfigInput, options: TrainOptions = {}): Promise<Summary> {
  const { signal, onStep, onEvent = () => {} } = options;
  const hear: RunListener = (event) => {
    if (event.kind === "step") onStep?.(event.metrics);
    onEvent(event);
  };
  const resolved = resolveConfig(config);
  refuseShortage(resolved);
  const onProgress = (text: string) => hear({ kind: "status", text });
  const corpus = await loadCorpus(resolved.data.source, resolved.data, {
    signal,
    onProgress,
    onSkipped: onProgress,
  });
  const plan = planOf(resolved, corpus); // finds out whether the corpus is long enough
  const { backend, device, out } = resolved.machine;
  if (!options.resume) await RunFolder.create(out, stringifyConfig(resolved));
  const startStep = options.resume ? await openRun(resolved, corpus, onProgress) : 0;
  if (resolved.machine.workers > 0) {
    if (resolved.machine.backend === "tensorflow") { // fetched once, before all workers want it
      const device = resolved.machine.device ?? await defaultDevice();
      await findLibrary(device, { onProgress, signal });
    }
    return await launchRun(resolved, startStep, { signal, onEvent: hear });
  }
  const replica = await openReplica(resolved, {
    backend,
    device,
    folder: out,
    atHome: true,
    startStep,
    signal,
    onStatus: onProgress,
  });
  const folder = RunFolder.at(out);
  const record = folder.record();
  using log = new RunLog(folder, (step) => learningRate(resolved.optimizer, step), hear);
  try {
    return await log.finish(
      await runSingle(replica, { ...plan, startStep, record }, { signal, onEvent: log.hear }),
    );
  } finally {
    replica.dispose();
  }
}

/** Nobody else can join a run whose workers and server are this machine's own. */
function refuseShortage({ machine: { workers, minWorkers } }: Config): void {
  if (workers === 0 || minWorkers <= workers) return;
  throw new ConfigError([
    `machine.minWorkers: expected at most machine.workers ${workers}, found ${minWorkers}; a run that other machines join ` +
    "is started with deno task coordinator",
  ]);
}

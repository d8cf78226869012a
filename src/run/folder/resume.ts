/**
 * How a run is resumed in its folder: from its newest complete checkpoint, or from the beginning where it had none yet. The model
 * and the text stay what they were; other changes of the configuration are logged. A folder that lacks a checkpoint of the run's
 * record is not resumed unless `--from-step` says so: what was trained would be lost.
 *
 * @module
 */

import { isDeepStrictEqual } from "node:util";
import { checkpointSteps, findCheckpoint, newestCheckpoint } from "../../checkpoint/checkpoint.ts";
import { readStateFile, type StateFile } from "../../checkpoint/files.ts";
import { setAside } from "../../checkpoint/folder.ts";
import {
  type Config,
  configOptions,
  loadConfig,
  stringifyConfig,
  withNewIdentity,
  withScheduleLength,
} from "../../config/config.ts";
import { addMissing } from "../../config/added.ts";
import type { Corpus } from "../../data/corpus.ts";
import { DATA_BEGINS, type DataOrigin } from "../../data/microbatch.ts";
import { ConfigError, errorMessage } from "../../errors.ts";
import { learningRate } from "../../model/optimizer/schedule.ts";
import { type ConfigChanges, RunFolder } from "./run_folder.ts";

/** Where a run starts: at its beginning, or from a checkpoint. */
export interface StartPoint {
  /** Its configuration, with its identity. */
  config: Config & { id: string };
  /** The step to continue from; 0 for a new run, and one that ended before its first checkpoint. */
  step: number;
  /** Where its data continues. */
  origin: DataOrigin;
  /** Which checkpoint of the record is not in the folder, and what to do; then nothing was changed in the folder. */
  missing?: string;
}

/**
 * Opens the folder of a run that is resumed: `machine.out`.
 *
 * @param config what it is resumed with
 * @param say receives status lines
 * @param fromStep the step whose checkpoint it is resumed from whatever is missing, 0 for none; later ones are set aside
 * @throws {ConfigError} where there is no run, or the model or the text is another one
 */
export async function openRun(
  config: Config,
  corpus: Pick<Corpus, "bytes" | "sha256">,
  say: (text: string) => void,
  fromStep?: number,
): Promise<StartPoint> {
  const { out } = config.machine;
  const folder = RunFolder.at(out);
  if (!await folder.exists()) throw new ConfigError([`--resume ${out}: there is no run in it to resume`]);
  const { id, optimizer } = await loadConfig(folder.config) as Partial<Config>; // of the folder, whatever the configuration says
  const scheduled = withScheduleLength(config, optimizer?.schedule?.steps);
  const identified = id === undefined ? withNewIdentity(scheduled) : { ...scheduled, id };
  const step = await stepToResume(folder, identified.id, say, fromStep);
  const about = step === 0
    ? undefined
    : await readStateFile((await findCheckpoint(folder.checkpoints, step))!);
  const changes = about ? allowedChanges(folder, about, identified, corpus) : {};
  const point = { config: identified, step, origin: about ? originOf(about) : DATA_BEGINS };
  const missing = fromStep === undefined ? await missingFrom(folder, config, step) : undefined;
  if (missing !== undefined) return { ...point, missing: `--resume ${out}: ${missing}` };
  const loss = folder.validationLosses().get(step);
  if (loss !== undefined && !Number.isFinite(loss)) {
    say(
      `the state of step ${step} has a validation loss of ${loss}: --from-step resumes from an earlier one`,
    );
  }
  const beyond = scheduleEnded(identified, step);
  if (beyond !== undefined) say(beyond);
  try {
    if (fromStep !== undefined) await setAside(folder.checkpoints, step);
    await logChanges(folder, { step, changes }, identified, say);
  } catch (error) {
    throw new ConfigError([`--resume ${out}: can't write to its folder (${errorMessage(error)})`]);
  }
  return point;
}

async function stepToResume(
  folder: RunFolder,
  run: string,
  say: (text: string) => void,
  fromStep: number | undefined,
): Promise<number> {
  if (fromStep === 0) return 0;
  const { checkpoints } = folder;
  if (fromStep !== undefined) {
    if (await findCheckpoint(checkpoints, fromStep) !== undefined) return fromStep;
    const steps = await checkpointSteps(checkpoints);
    const there = steps.length > 0 ? `there are those of steps ${steps.join(", ")}` : "there is none";
    throw new ConfigError([`--from-step ${fromStep}: ${checkpoints} has no checkpoint of it, ${there}`]);
  }
  return await newestCheckpoint(checkpoints, say, run) ?? 0;
}

/** Which checkpoint of the run's record is not in the folder, and what to do. */
async function missingFrom(
  folder: RunFolder,
  { checkpoint: { every } }: Config,
  step: number,
): Promise<string | undefined> {
  const advice = step === 0
    ? "to begin again with step 1, add --from-start"
    : `to continue from step ${step}, add --from-step ${step}`;
  const here = step === 0 ? "no checkpoint is here" : `the newest here is that of step ${step}`;
  const unusable = step === 0 ? await checkpointSteps(folder.checkpoints) : [];
  if (unusable.length > 0) {
    return `none of its checkpoints can be used (steps ${
      unusable.join(", ")
    }); ${advice}: they are set aside`;
  }
  const last = folder.events.lastSave();
  if (last && last.step > step) {
    const where = last.elsewhere ? `to ${last.place} on the machine of ${last.member}` : `to ${last.place}`;
    return `${last.member} has saved step ${last.step} ${where}, and ${here}; ` +
      `copy it into ${folder.checkpoints}, or ${advice}`;
  }
  // flashmob 0.1 had no such record, and its workers on other machines kept the checkpoints there.
  const { lastStep } = folder.record();
  if (step > 0 || folder.events.exists || every === 0 || lastStep < every) return undefined;
  return `its metrics have ${lastStep} steps, a checkpoint was due every ${every}, and ${here}; perhaps a worker on another ` +
    `machine has written them: copy the newest into ${folder.checkpoints}, or ${advice}`;
}

/** What to know of a run that continues from `step` beyond its schedule. */
function scheduleEnded({ train: { steps }, optimizer }: Config, step: number): string | undefined {
  const { kind, steps: length = steps } = optimizer.schedule;
  if (kind === "constant" || steps <= Math.max(length, step)) return undefined;
  const rate = Number(learningRate(optimizer, steps).toPrecision(3));
  return `the learning rate's schedule ends with step ${length}: after it the rate is ${rate}; ` +
    `--optimizer.schedule.steps ${steps} makes it as long as the run`;
}

/** Where the data of a run continues after a checkpoint. */
function originOf({ step, samples, config }: StateFile): DataOrigin {
  return { step, samples: samples ?? step * (config.train?.batch ?? 0) };
}

/** What differs from the checkpoint's configuration. Throws a ConfigError with every difference that is not allowed. */
function allowedChanges(
  { path }: RunFolder,
  about: StateFile,
  config: Config,
  corpus: Pick<Corpus, "bytes" | "sha256">,
): ConfigChanges["changes"] {
  const changes = changesOf(addMissing(about.config) as object, config);
  const problems = [...modelProblems(changes), ...corpusProblems(about, corpus)];
  if (problems.length > 0) throw new ConfigError(problems.map((problem) => `--resume ${path}: ${problem}`));
  return changes;
}

/** The values that differ between two run parts. The text's path may change: the text itself is compared. */
function changesOf(before: object, after: object): ConfigChanges["changes"] {
  const changes: ConfigChanges["changes"] = {};
  for (const { path, default: usual } of configOptions) {
    if (/^(log|machine)\./.test(path) || path === "data.source") continue;
    const from = valueAt(before, path) ?? usual, to = valueAt(after, path);
    if (JSON.stringify(from) !== JSON.stringify(to)) changes[path] = { from, to };
  }
  return changes;
}

function modelProblems(changes: ConfigChanges["changes"]): string[] {
  return Object.entries(changes).filter(([path]) => path.startsWith("model."))
    .map(([path, { from, to }]) =>
      `${path} can't change, it is ${show(from)} in the checkpoint and ${show(to)} here`
    );
}

function corpusProblems(
  { corpus: before, step }: StateFile,
  { bytes, sha256 }: Pick<Corpus, "bytes" | "sha256">,
): string[] {
  if (before === undefined || before.sha256 === sha256) return [];
  const name = (corpus: { bytes: number; sha256: string }) =>
    `${corpus.bytes} bytes with SHA-256 ${corpus.sha256.slice(0, 16)}…`;
  return [
    `data.source: expected the text of the first ${step} steps, ${name(before)}, found ${
      name({ bytes, sha256 })
    }; ` +
    "for another text, make a new run of its weights with deno task convert",
  ];
}

async function logChanges(
  folder: RunFolder,
  { step, changes }: ConfigChanges,
  config: Config,
  say: (text: string) => void,
): Promise<void> {
  let isCurrent = true;
  const before = await loadConfig(folder.config, () => isCurrent = false) as Config; // a removed key was told already
  for (const [path, { from, to }] of Object.entries(changes)) {
    say(`after step ${step} ${path} is ${show(to)} instead of ${show(from)}`);
  }
  if (Object.keys(changes).length > 0) await folder.addChanges({ step, changes });
  const logsAsBefore = isDeepStrictEqual(before.log, config.log);
  if (Object.keys(changes).length === 0 && logsAsBefore && isCurrent && before.id !== undefined) return;
  const { machine } = before; // the machine part is for this start only
  await folder.replaceConfig(stringifyConfig({ ...config, machine }));
}

function valueAt(config: object, path: string): unknown {
  return path.split(".").reduce<unknown>(
    (at, key) => (at as Record<string, unknown> | undefined)?.[key],
    config,
  );
}

function show(value: unknown): string {
  return value === undefined ? "nothing" : JSON.stringify(value);
}

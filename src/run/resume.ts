/**
 * How a run goes on in its folder: from its newest whole checkpoint, or from the beginning where it had none yet. The model
 * and the text stay what they were; other changes of the configuration are logged.
 *
 * @module
 */

import { checkpointSteps, newestCheckpoint } from "../checkpoint/checkpoint.ts";
import { readStateFile, type StateFile } from "../checkpoint/files.ts";
import { placeOf } from "../checkpoint/folder.ts";
import { type Config, configOptions, loadConfig, stringifyConfig } from "../config/config.ts";
import type { Corpus } from "../data/corpus.ts";
import { ConfigError, wordsOf } from "../errors.ts";
import { type ConfigChanges, RunFolder } from "./folder.ts";

/**
 * Opens the folder of a run that goes on: `machine.out`.
 *
 * @param config what it goes on with
 * @param say gets lines for people
 * @returns the step to go on after; 0 for a run that ended before its first checkpoint
 * @throws {ConfigError} where there is no run, the model or the text is another one, or none of its checkpoints is whole:
 *   beginning again would replace them
 */
export async function openRun(
  config: Config,
  corpus: Pick<Corpus, "bytes" | "sha256">,
  say: (text: string) => void,
): Promise<number> {
  const { out } = config.machine;
  const folder = RunFolder.at(out);
  if (!await folder.exists()) throw new ConfigError([`--resume ${out}: there is no run in it to go on with`]);
  const step = await newestCheckpoint(folder.checkpoints, say);
  if (step === undefined) await refuseToReplace(folder);
  const last = step ?? 0;
  const changes = step === undefined ? {} : await allowedChanges(folder, step, config, corpus);
  if (step === undefined) say("the run has no checkpoint yet and begins with step 1");
  try {
    await logChanges(folder, { step: last, changes }, config, say);
    folder.discardAfter(last);
  } catch (error) {
    throw new ConfigError([`--resume ${out}: can't write to its folder (${wordsOf(error)})`]);
  }
  return last;
}

/** What is different from the checkpoint's configuration. Throws a ConfigError with all that must not be. */
async function allowedChanges(
  { path, checkpoints }: RunFolder,
  step: number,
  config: Config,
  corpus: Pick<Corpus, "bytes" | "sha256">,
): Promise<ConfigChanges["changes"]> {
  const about = await readStateFile(placeOf(checkpoints, step));
  const changes = changesOf(about.config, config);
  const problems = [...modelProblems(changes), ...corpusProblems(about, corpus)];
  if (problems.length > 0) throw new ConfigError(problems.map((problem) => `--resume ${path}: ${problem}`));
  return changes;
}

async function refuseToReplace({ path, checkpoints }: RunFolder): Promise<void> {
  const damaged = await checkpointSteps(checkpoints);
  if (damaged.length === 0) return;
  throw new ConfigError([
    `--resume ${path}: none of its checkpoints is whole (steps ${damaged.join(", ")}); ` +
    "to begin again, start a new run with --out",
  ]);
}

/** What is another value in two run parts. The text's path may change: the text itself is compared. */
function changesOf(before: object, after: object): ConfigChanges["changes"] {
  const changes: ConfigChanges["changes"] = {};
  for (const { path, default: usual } of configOptions) {
    if (path.startsWith("machine.") || path === "data.source") continue;
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
  if (Object.keys(changes).length === 0) return;
  for (const [path, { from, to }] of Object.entries(changes)) {
    say(`after step ${step} ${path} is ${show(to)} instead of ${show(from)}`);
  }
  const { machine } = await loadConfig(folder.config) as Config; // how this start uses the machine is for this time
  await folder.writeChanges({ step, changes }, stringifyConfig({ ...config, machine }));
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

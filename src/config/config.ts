/**
 * One configuration for a whole run. It is checked once, here, at the edge: everything behind gets a {@linkcode Config},
 * typed and complete, and trusts it.
 *
 * @module
 */

import { parse, stringify } from "@std/yaml";
import { createHash } from "node:crypto";
import { z } from "zod";
import { type ConfigOption, type ConfigSection, type JsonSchema, optionsOf, sectionsOf } from "./options.ts";
import { fillIn, withLengths } from "./fill_in.ts";
import { addMissing } from "./added.ts";
import { dropRemoved } from "./removed.ts";
import { contradictions, describeIssues, missingValues } from "./problems.ts";
import { configSchema, runSchema } from "./schema.ts";
import type { Config, ConfigInput, RunConfig } from "./types.ts";
import { ConfigError } from "../errors.ts";
import { isRecord } from "../records.ts";

export type { Config, ConfigInput, RunConfig };

/** Values by dotted path, as the command line gives them: `{ "train.steps": 500 }`. */
export type Overrides = Record<string, unknown>;

const jsonSchema = z.toJSONSchema(configSchema, { io: "input" }) as JsonSchema;
delete jsonSchema.properties?.id; // a run's identity is not for people to choose
const runJsonSchema = z.toJSONSchema(runSchema, { io: "input" }) as JsonSchema;

/** All options with types, defaults and descriptions, in order. */
export const configOptions: readonly ConfigOption[] = optionsOf(jsonSchema);

/** All sections, in order. */
export const configSections: readonly ConfigSection[] = sectionsOf(jsonSchema);

/**
 * Reads a YAML file for {@linkcode resolveConfig}. Keys of earlier versions that are without effect are left out.
 *
 * @param say gets a line for each of these
 * @throws {ConfigError} where there is no such file, it is not YAML, with the line, or has a removed key with an effect
 */
export async function loadConfig(path: string, say: (line: string) => void = () => {}): Promise<unknown> {
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (error) {
    throw new ConfigError([`the configuration ${path} can't be read: ${(error as Error).message}`]);
  }
  let config: unknown;
  try {
    config = parse(text) ?? {};
  } catch (error) {
    throw new ConfigError([`${path} is not YAML: ${(error as Error).message}`]);
  }
  for (const line of dropRemoved(config)) say(`${path}: ${line}`);
  return config;
}

/**
 * Reads the `config.yaml` of a run's folder, which was complete when it was written: a key that is not in it came with a later
 * version, and has the value that held without it.
 *
 * @throws {ConfigError} as {@linkcode loadConfig}
 */
export async function loadRunConfig(path: string, say?: (line: string) => void): Promise<unknown> {
  return addMissing(await loadConfig(path, say));
}

/**
 * Checks a configuration and fills in what is left out.
 *
 * @param value what a YAML file gave, or an object
 * @param overrides values that go before it
 * @throws {ConfigError} with all problems at once, each with its path, what was expected and what was found
 *
 * @example
 * ```ts
 * import { resolveConfig } from "./config.ts";
 * const config = resolveConfig({ model: { dim: 64 } }, { "train.steps": 10 });
 * console.assert(config.model.dim === 64 && config.train.steps === 10 && config.train.batch === 8);
 * ```
 */
export function resolveConfig(value: unknown = {}, overrides: Overrides = {}): Config {
  const input = withOverrides(value, overrides);
  const result = configSchema.safeParse(input);
  if (!result.success) throw new ConfigError(describeIssues(result.error.issues, input, jsonSchema));
  const problems = contradictions(result.data);
  if (problems.length > 0) throw new ConfigError(problems);
  return fillIn(result.data);
}

/** What is wrong with overrides, seen by themselves; contradictions between values are left to {@linkcode resolveConfig}. */
export function overrideProblems(overrides: Overrides): string[] {
  const input = withOverrides({}, overrides);
  const { error } = configSchema.safeParse(input);
  return error ? describeIssues(error.issues, input, jsonSchema) : [];
}

/**
 * Checks the run part of a configuration as another process tells it: nothing is left out, so nothing is filled in.
 *
 * @throws {ConfigError} with all problems at once, as {@linkcode resolveConfig}
 */
export function parseRunConfig(value: unknown): RunConfig {
  const result = runSchema.safeParse(value);
  if (!result.success) throw new ConfigError(describeIssues(result.error.issues, value, runJsonSchema));
  const problems = [...missingValues(value, result.data, runJsonSchema), ...contradictions(result.data)];
  if (problems.length > 0) throw new ConfigError(problems);
  return withLengths(result.data);
}

/** The part of a configuration that decides the result, as joiners get it. */
export function runPart({ log: _, machine: __, id: ___, ...run }: Config): RunConfig {
  return run;
}

/** The configuration of a run that is another one from now on than any before. */
export function withNewIdentity(config: Config): Config & { id: string } {
  return { ...config, id: crypto.randomUUID() };
}

/**
 * The configuration with the length of its schedule, which a run's first start settles.
 *
 * @param length what holds where the configuration has none
 * @throws {ConfigError} where the warm-up is as long
 */
export function withScheduleLength<C extends RunConfig>(config: C, length: number = config.train.steps): C {
  const { optimizer, optimizer: { schedule } } = config;
  if (schedule.kind === "constant" || schedule.steps !== undefined) return config;
  const settled = { ...config, optimizer: { ...optimizer, schedule: { ...schedule, steps: length } } };
  const problems = contradictions(settled);
  if (problems.length > 0) throw new ConfigError(problems);
  return settled;
}

/**
 * SHA-256 of what decides the result, in hexadecimal: members with another one are rejected. The text's path and how it is
 * read are left out: the text itself is compared, by length and SHA-256.
 */
export function configHash(config: Config | RunConfig): string {
  const {
    model,
    data: { source: _source, raw: _raw, ...data },
    train,
    optimizer,
    eval: evaluation,
    checkpoint,
    dist,
  } = config;
  const run = { model, data, train, optimizer, eval: evaluation, checkpoint, dist };
  return createHash("sha256").update(canonicalJson(run)).digest("hex");
}

/** A configuration as YAML that {@linkcode resolveConfig} takes back. */
export function stringifyConfig(config: Config): string {
  return stringify(JSON.parse(JSON.stringify(config))); // YAML has no word for undefined
}

/** JSON with sorted keys, so that equal values give equal text. */
function canonicalJson(value: unknown): string {
  return JSON.stringify(
    value,
    (_, inner: unknown) => isRecord(inner) ? Object.fromEntries(Object.entries(inner).sort()) : inner,
  );
}

/** A copy of `value` with the overrides set. What should be a section and is something else stays, to be complained about. */
function withOverrides(value: unknown, overrides: Overrides): unknown {
  const copy: unknown = structuredClone(value);
  for (const [path, override] of Object.entries(overrides)) setAt(copy, path.split("."), override);
  return copy;
}

function setAt(section: unknown, [key, ...inner]: string[], value: unknown): void {
  if (!isRecord(section)) return;
  if (inner.length === 0) section[key] = value;
  else setAt(section[key] ??= {}, inner, value);
}

/**
 * One configuration for a whole run. It is checked once, here, at the edge: everything behind gets a {@linkcode Config},
 * typed and complete, and trusts it.
 *
 * It has two parts. The *run* part decides the result and is the same for every member: joiners take it from the
 * coordinator. The *machine* part is about one machine: processes, paths, devices.
 *
 * @module
 */

import { parse, stringify } from "@std/yaml";
import { createHash } from "node:crypto";
import { z } from "zod";
import { type ConfigOption, type JsonSchema, optionsOf } from "./options.ts";
import { fillIn, withLengths } from "./fill_in.ts";
import { contradictions, describeIssues, missingValues } from "./problems.ts";
import type { Config, ConfigInput, RunConfig, RunSettings, Settings } from "./types.ts";
import { ConfigError } from "../errors.ts";
import type { CodecName } from "../dist/mod.ts";

export type { Config, ConfigInput, RunConfig };

/** Written here, so that who only reads a configuration does not load what talks to NATS. */
const codecs = ["float32", "bfloat16", "int8"] as const satisfies CodecName[];

const count = () => z.int().min(1);
const share = () => z.number().min(0).lt(1);
const name = () =>
  z.string().regex(/^[A-Za-z0-9_-]{1,64}$/).meta({ form: "1 to 64 letters, digits, _ and -" });

const model = z.strictObject({
  numTokens: z.int().min(256).default(256).describe("Size of the vocabulary. A token is a byte."),
  dim: count().default(128).describe("Width of the model; even."),
  depth: count().default(4).describe("Number of FLASH layers."),
  groupSize: count().default(64)
    .describe("Tokens per group: attention is quadratic within one and linear between them."),
  queryKeyDim: count().default(64).describe("Width of queries and keys; even."),
  expansionFactor: z.number().gt(0).default(2).describe("The hidden width is dim times this, rounded down."),
  causal: z.boolean().default(true).describe(
    "A token sees only those before it. Training to predict the next needs it.",
  ),
  attnDropout: share().default(0).describe("Share of the attention weights that training drops."),
  normType: z.enum(["scalenorm", "layernorm"]).default("scalenorm").describe("Norm before each layer."),
  shiftTokens: z.boolean().default(true).describe("Half of the features come from the token before."),
  laplaceAttnFn: z.boolean().default(true).describe("Laplace attention function; false: squared ReLU."),
  reduceGroupNonCausalAttn: z.boolean().default(true)
    .describe("Without causal: one linear context for all groups instead of one per group."),
});

const data = z.strictObject({
  source: z.string().min(1).default("sotu")
    .describe(
      "Text: sotu, enwik8, a file or a folder. gzip, zstd and zip are unpacked, and an archive is read as a folder. Each " +
        "machine may have its own path.",
    ),
  raw: z.boolean().default(false)
    .describe("Files are the bytes that they have: nothing is unpacked, and no format refused."),
  seqLen: count().default(256).describe("Tokens of a training window."),
  validation: z.number().gt(0).lt(1).default(0.05).describe(
    "Share of the text, at its end, that is only evaluated on.",
  ),
  documents: z.boolean().default(false)
    .describe("Each file of a folder, or line of a file, stands for itself; short ones are padded."),
  lengths: z.array(count()).optional()
    .describe(
      "Rising lengths that documents are padded to. Default: groupSize times 1, 2, 4 and so on, then seqLen.",
    ),
});

const train = z.strictObject({
  steps: count().default(500).describe("Optimizer steps of the run."),
  batch: count().default(8).describe("Sequences of a step's global batch, however many workers share it."),
  microBatch: count().default(1).describe(
    "Sequences computed at once; divides batch. Part of the result's last bits.",
  ),
  maxSkips: count().default(10)
    .describe("A run stops when so many steps in a row had a loss or gradient that is not finite."),
  seed: z.int().min(0).default(1).describe("Decides initial values, the order of the data and dropout."),
  threads: count().default(1)
    .describe("Threads of TensorFlow in each worker. Part of the run: another number gives other last bits."),
});

const schedule = z.strictObject({
  kind: z.enum(["constant", "linear", "cosine"]).default("constant").describe(
    "How the rate falls after warming up.",
  ),
  warmup: z.int().min(0).default(0).describe("Steps in which the rate rises from 0."),
  steps: count().optional().describe(
    "Step at which linear and cosine reach 0. Their own length, whatever train.steps is.",
  ),
});

const optimizer = z.strictObject({
  learningRate: z.number().gt(0).default(1e-3).describe("Adam's step size."),
  beta1: share().default(0.9).describe("Decay of the gradient's running mean."),
  beta2: share().default(0.999).describe("Decay of the squared gradient's running mean."),
  epsilon: z.number().gt(0).default(1e-8).describe("Added to the divisor, as in PyTorch."),
  weightDecay: z.number().min(0).default(0).describe(
    "AdamW: share of the weights, times the rate, that a step takes away.",
  ),
  clipNorm: z.number().gt(0).default(0.5).describe("The mean gradient is scaled down to this norm at most."),
  schedule: schedule.prefault({}),
});

const evaluation = z.strictObject({
  every: z.int().min(0).default(50).describe("Steps between evaluations; 0: only after the last step."),
  windows: count().default(64).describe(
    "Windows, or documents, from the validation part's start that are evaluated.",
  ),
});

const checkpoint = z.strictObject({
  every: z.int().min(0).default(100).describe("Steps between checkpoints; 0: only after the last step."),
  keepLast: count().default(3).describe("Checkpoints that are kept."),
});

const dist = z.strictObject({
  mode: z.enum(["allreduce", "average"]).default("allreduce").describe(
    "allreduce averages gradients every step; average averages parameters after localSteps steps of each worker by itself " +
      "(DiLoCo), and the result depends on the number of workers.",
  ),
  localSteps: count().default(20).describe("average: steps between two averagings."),
  warmupSteps: z.int().min(0).default(0).describe(
    "average: steps, from the first on, of allreduce before it.",
  ),
  outerRate: z.number().gt(0).default(0.7).describe(
    "average: step size of the outer SGD with Nesterov momentum; 1 with outerMomentum 0 is the plain mean of the parameters.",
  ),
  outerMomentum: share().default(0.9).describe("average: momentum of the outer SGD."),
  codec: z.enum(codecs).default("float32").describe(
    "How gradients are written on the wire: 4, 2 or 1 bytes a value. Only float32 is exact.",
  ),
  rounding: z.enum(["nearest", "stochastic"]).default("nearest").describe(
    "How int8 rounds. stochastic is right on average for each value, and slower: 0.12 s for 13 million values.",
  ),
  partBytes: z.int().min(256 * 1024).default(512 * 1024)
    .describe(
      "Most bytes of one message with gradients, from 256 KiB on; a server that takes less gets less.",
    ),
  windowBytes: z.int().min(256 * 1024).default(16 * 1024 * 1024)
    .describe("Bytes on their way at once: a NATS server drops a connection with 64 MiB pending."),
  heartbeatSeconds: z.number().gt(0).default(1).describe("Seconds between two signs of life of a worker."),
  patienceSeconds: z.number().gt(0).default(10)
    .describe(
      "A worker is never given up for less than so many seconds of silence, however quick steps are.",
    ),
  silenceSeconds: z.number().gt(0).default(60)
    .describe("Seconds of silence until a worker is lost, however slow steps are; the others do its work."),
  hashEvery: z.int().min(0).default(100)
    .describe("Steps between comparisons of the workers' states; 0: only after the last step."),
  mixed: z.boolean().default(false).describe(
    "Admits workers that compute with other last bits (another device, version or backend). Replicas stay equal to each " +
      "other, but the result depends on who computed what.",
  ),
});

const machine = z.strictObject({
  workers: z.int().min(0).default(4).describe("Worker processes on this machine; 0 trains in one process."),
  reducers: z.int().min(0).default(0)
    .describe(
      "Processes that average beside the coordinator of this machine, from 2 on; otherwise it averages alone.",
    ),
  minWorkers: count().default(1).describe(
    "Workers without which a run waits. Before the first step it also waits for all workers of its own machine.",
  ),
  out: z.string().min(1).optional().describe(
    "Folder of the run. Default: runs/ and the time. With --join: where this machine keeps a copy of the checkpoints that it hands " +
      "to the coordinator; by default it keeps none.",
  ),
  run: name().optional().describe(
    "Name of the run, by which others join it. Default: from the folder's name.",
  ),
  name: name().optional().describe("Name of this machine in the run. Default: the host's name."),
  backend: z.enum(["tensorflow", "cpu"]).default("tensorflow")
    .describe("cpu: tfjs in plain JavaScript, for small trials; nothing is fetched."),
  device: z.enum(["gpu", "cpu"]).optional().describe(
    "Where TensorFlow computes. Default: a GPU where there is one.",
  ),
});

const runSections = {
  model: model.prefault({}),
  data: data.prefault({}),
  train: train.prefault({}),
  optimizer: optimizer.prefault({}),
  eval: evaluation.prefault({}),
  checkpoint: checkpoint.prefault({}),
  dist: dist.prefault({}),
};
const runSchema: z.ZodType<RunSettings> = z.strictObject(runSections);
const schema: z.ZodType<Settings, ConfigInput> = z.strictObject({
  id: z.uuid().optional().describe("Identity of the run, made with its folder."),
  ...runSections,
  machine: machine.prefault({}),
});

/** Values by dotted path, as the command line gives them: `{ "train.steps": 500 }`. */
export type Overrides = Record<string, unknown>;

const jsonSchema = z.toJSONSchema(schema, { io: "input" }) as JsonSchema;
delete jsonSchema.properties?.id; // a run's identity is not for people to choose
const runJsonSchema = z.toJSONSchema(runSchema, { io: "input" }) as JsonSchema;

/** All options with types, defaults and descriptions, in order. */
export const configOptions: readonly ConfigOption[] = optionsOf(jsonSchema);

/**
 * Reads a YAML file for {@linkcode resolveConfig}.
 *
 * @throws {ConfigError} where there is no such file or it is not YAML, with the line
 */
export async function loadConfig(path: string): Promise<unknown> {
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (error) {
    throw new ConfigError([`the configuration ${path} can't be read: ${(error as Error).message}`]);
  }
  try {
    return parse(text) ?? {};
  } catch (error) {
    throw new ConfigError([`${path} is not YAML: ${(error as Error).message}`]);
  }
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
  const result = schema.safeParse(input);
  if (!result.success) throw new ConfigError(describeIssues(result.error.issues, input, jsonSchema));
  const problems = contradictions(result.data);
  if (problems.length > 0) throw new ConfigError(problems);
  return fillIn(result.data);
}

/** What is wrong with overrides, seen by themselves; contradictions between values are left to {@linkcode resolveConfig}. */
export function overrideProblems(overrides: Overrides): string[] {
  const input = withOverrides({}, overrides);
  const { error } = schema.safeParse(input);
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
export function runPart({ machine: _, id: __, ...run }: Config): RunConfig {
  return run;
}

/** The configuration of a run that is another one from now on than any before. */
export function withNewIdentity(config: Config): Config & { id: string } {
  return { ...config, id: crypto.randomUUID() };
}

/**
 * SHA-256 of what decides the result, in hexadecimal: members with another one are refused. The text's path and how it is
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
  return JSON.stringify(value, (_, inner) => {
    const isObject = typeof inner === "object" && inner !== null && !Array.isArray(inner);
    return isObject ? Object.fromEntries(Object.entries(inner).sort()) : inner;
  });
}

/** A copy of `value` with the overrides set. What should be a section and is something else stays, to be complained about. */
function withOverrides(value: unknown, overrides: Overrides): unknown {
  const copy: unknown = structuredClone(value);
  for (const [path, override] of Object.entries(overrides)) setAt(copy, path.split("."), override);
  return copy;
}

function setAt(section: unknown, [key, ...inner]: string[], value: unknown): void {
  if (!isSection(section)) return;
  if (inner.length === 0) section[key] = value;
  else setAt(section[key] ??= {}, inner, value);
}

function isSection(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

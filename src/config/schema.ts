/**
 * The schema of a configuration: each value with its range, its default, and what it means. Flags, `--help` and error messages
 * are derived from it.
 *
 * It has three parts. The *run* part decides the result and is the same for every member: joiners take it from the
 * coordinator. The *log* part says what the coordinator writes into the run's folder besides, and the *machine* part is about
 * one machine: processes, paths, devices.
 *
 * @module
 */

import { z } from "zod";
import type { CodecName } from "../dist/mod.ts";

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
    .describe("Files are the bytes that they have: nothing is unpacked, and no format rejected."),
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
    .describe("A run stops when this many steps in a row had a loss or gradient that is not finite."),
  seed: z.int().min(0).default(1).describe("Decides initial values, the order of the data and dropout."),
  threads: count().default(1)
    .describe("Threads of TensorFlow in each worker. Part of the run: another number gives other last bits."),
});

const schedule = z.strictObject({
  kind: z.enum(["constant", "linear", "cosine"]).default("linear").describe(
    "How the rate falls after warming up.",
  ),
  warmup: z.int().min(0).default(0).describe("Steps in which the rate rises from 0."),
  steps: count().optional().describe(
    "Step at which linear and cosine reach the floor. Default: train.steps of the run's first start; a resume doesn't move it.",
  ),
  floor: z.number().min(0).max(1).default(0.1).describe(
    "Share of learningRate to which linear and cosine fall, and at which more steps continue.",
  ),
});

const optimizer = z.strictObject({
  learningRate: z.number().gt(0).default(4e-3).describe("Adam's step size, at its highest."),
  beta1: share().default(0.9).describe("Decay of the gradient's running mean."),
  beta2: share().default(0.999).describe("Decay of the squared gradient's running mean."),
  epsilon: z.number().gt(0).default(1e-8).describe("Added to the divisor, as in PyTorch."),
  weightDecay: z.number().min(0).default(0).describe(
    "AdamW: share of the weights, times the rate, that a step takes away.",
  ),
  clipNorm: z.number().gt(0).default(0.5).describe("The mean gradient is scaled down to this norm at most."),
  schedule: schedule.prefault({}),
});

/** Most texts that the model continues at an evaluation. */
const MOST_SAMPLES = 16;

const evaluation = z.strictObject({
  every: z.int().min(0).default(50).describe("Steps between evaluations; 0: only after the last step."),
  windows: count().default(64).describe(
    "Windows, or documents, from the validation part's start that are evaluated.",
  ),
  samples: z.array(z.string().min(1)).max(MOST_SAMPLES).optional().describe(
    "Texts that the model continues by 64 tokens at each evaluation, 16 at most, none longer than seqLen bytes. A flag takes one as " +
      'it stands, or a list: \'["War, and", "To the"]\'; [] for none. Default: the validation part\'s first words.',
  ),
});

const checkpoint = z.strictObject({
  every: z.int().min(0).default(100).describe("Steps between checkpoints; 0: only after the last step."),
  keepLast: count().default(3).describe("Checkpoints that are kept."),
});

const dist = z.strictObject({
  mode: z.enum(["allreduce", "average"]).default("allreduce").describe(
    "allreduce: an all-reduce of the gradients in every step; average: parameters are averaged after localSteps local steps of " +
      "each worker (DiLoCo), and the result depends on the number of workers.",
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
  partBytes: z.int().min(256 * 1024).default(512 * 1024)
    .describe(
      "Most bytes of one message with gradients, from 256 KiB on; a server that takes less gets less.",
    ),
  windowBytes: z.int().min(256 * 1024).default(16 * 1024 * 1024)
    .describe("Bytes in flight at once: a NATS server drops a connection with 64 MiB pending."),
  heartbeatSeconds: z.number().gt(0).default(1).describe("Seconds between two heartbeats of a worker."),
  patienceSeconds: z.number().gt(0).default(10)
    .describe(
      "A worker is never declared lost after less than this many seconds without a heartbeat, however fast steps are.",
    ),
  silenceSeconds: z.number().gt(0).default(60)
    .describe(
      "Seconds without a heartbeat until a worker is lost, however slow steps are; the others do its work.",
    ),
  hashEvery: z.int().min(0).default(100)
    .describe("Steps between comparisons of the workers' states; 0: only after the last step."),
  mixed: z.boolean().default(false).describe(
    "Admits workers whose results differ in the last bits (another device, version or backend). Replicas stay equal to each " +
      "other, but the result depends on which worker computed what.",
  ),
});

const log = z.strictObject({
  tensorboard: z.boolean().default(false).describe(
    "Writes the curves, samples and configuration for TensorBoard, too, into tensorboard/ of the run's folder.",
  ),
});

const machine = z.strictObject({
  workers: z.int().min(0).default(4).describe("Worker processes on this machine; 0 trains in one process."),
  reducers: z.int().min(0).default(0)
    .describe(
      "Reducer processes, which sum up vectors in place of the coordinator of this machine; with fewer than 2 it does so itself.",
    ),
  minWorkers: count().default(1).describe(
    "Workers without which a run waits. Before the first step it also waits for all workers of its own machine.",
  ),
  out: z.string().min(1).optional().describe(
    "Folder of the run. Default: runs/ and the time. With --join: where this machine keeps a copy of the checkpoints that it sends " +
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
  sharedMemory: z.boolean().default(true).describe(
    "Processes of one machine read each other's gradients from memory. false: they send them, as between machines.",
  ),
});

const runSections = {
  model: model.prefault({}).describe("The transformer: its sizes and variants."),
  data: data.prefault({}).describe("The text, and how it is cut."),
  train: train.prefault({}).describe("Length of the run, batches, seed."),
  optimizer: optimizer.prefault({}).describe("AdamW, clipping, and the learning rate's schedule."),
  eval: evaluation.prefault({}).describe("When, and on how much of the text, is evaluated."),
  checkpoint: checkpoint.prefault({}).describe("When checkpoints are written, and how many are kept."),
  dist: dist.prefault({}).describe("How the members of a run talk, and when one is lost."),
};

/** The run part alone. */
export const runSchema = z.strictObject(runSections);

/** A whole configuration. */
export const configSchema = z.strictObject({
  id: z.uuid().optional().describe("Identity of the run, made with its folder."),
  ...runSections,
  log: log.prefault({}).describe("What else is written beside the run's own files."),
  machine: machine.prefault({}).describe("This machine: processes, folder, names, device."),
});

/** The run part, checked value by value, without the defaults that follow from other values. */
export type RunSettings = z.output<typeof runSchema>;

/** The same of a whole configuration. */
export type Settings = z.output<typeof configSchema>;

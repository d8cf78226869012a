/**
 * Flags of other trainers (nanoGPT, Hugging Face's Trainer, torchrun and their like), answered with ours.
 *
 * @module
 */

/** Our flag for one of theirs. */
export interface PeerFlag {
  /** Ours, in order of preference: a command may not have the first. */
  ours: readonly string[];
  /** The value to write, where theirs has none. */
  value?: string;
  /** What is different, if anything. */
  note?: string;
}

const GPU_NOTE = "a GPU is used where there is one";
const EPOCHS_NOTE = "a run counts steps, and says at its start how many epochs they make";
const BATCH_NOTE = "the sequences of a step, of all workers together";
const ACCUMULATION_NOTE = "a step adds up the gradients of train.batch sequences, train.microBatch at once";

/** Theirs, separated by spaces, and ours. */
const TABLE: readonly (readonly [theirs: string, ours: PeerFlag])[] = [
  ["lr learning-rate max-lr", { ours: ["optimizer.learningRate"] }],
  ["epochs epoch num-epochs num-train-epochs max-epochs", { ours: ["steps"], note: EPOCHS_NOTE }],
  ["max-steps max-iters iters iterations num-steps n-steps train-steps", { ours: ["steps"] }],
  ["batch batch-size bs train-batch-size global-batch-size", { ours: ["train.batch"], note: BATCH_NOTE }],
  ["per-device-train-batch-size micro-batch-size", { ours: ["train.microBatch"] }],
  ["gradient-accumulation-steps grad-accum accumulate", { ours: ["train.batch"], note: ACCUMULATION_NOTE }],
  ["gpu cuda use-gpu use-cuda", { ours: ["machine.device"], value: "gpu", note: GPU_NOTE }],
  ["cpu no-cuda use-cpu", { ours: ["machine.device"], value: "cpu", note: GPU_NOTE }],
  ["device accelerator", { ours: ["machine.device"], note: GPU_NOTE }],
  ["gpus num-gpus ngpus devices nproc nproc-per-node world-size num-workers num-processes", {
    ours: ["workers"],
    note: "one worker for each GPU",
  }],
  ["block-size ctx context context-length seq-len seq-length sequence-length max-seq-len max-seq-length", {
    ours: ["data.seqLen"],
  }],
  ["max-length", { ours: ["tokens", "data.seqLen"] }],
  ["n-layer n-layers num-layers layers", { ours: ["model.depth"] }],
  ["n-embd d-model hidden-size hidden-dim embed-dim width", { ours: ["model.dim"] }],
  ["dropout", { ours: ["model.attnDropout"] }],
  ["wd weight-decay", { ours: ["optimizer.weightDecay"] }],
  ["clip grad-clip gradient-clip max-grad-norm clip-grad-norm", { ours: ["optimizer.clipNorm"] }],
  ["warmup warmup-steps warmup-iters", { ours: ["optimizer.schedule.warmup"] }],
  ["scheduler schedule lr-scheduler lr-schedule lr-scheduler-type decay-lr", {
    ours: ["optimizer.schedule.kind"],
  }],
  ["eval-interval eval-steps eval-every", { ours: ["eval.every"] }],
  ["eval-iters", { ours: ["eval.windows"] }],
  ["save-steps save-interval save-every checkpoint-interval checkpoint-every", {
    ours: ["checkpoint.every"],
  }],
  ["save-total-limit", { ours: ["checkpoint.keepLast"] }],
  ["output output-dir out-dir save-dir logdir log-dir", { ours: ["out"] }],
  ["dataset data-dir data-path train-file input input-file", { ours: ["data"] }],
  ["checkpoint ckpt resume-from-checkpoint continue load init-from", { ours: ["resume"] }],
  ["name run-name", { ours: ["run"] }],
  ["host port bind address", { ours: ["listen"], value: "HOST:PORT" }],
  ["master-addr server", { ours: ["join", "nats"] }],
  ["max-tokens max-new-tokens num-tokens length", { ours: ["tokens"] }],
  ["temp", { ours: ["temperature"] }],
  ["topk", { ours: ["top-k"] }],
  ["topp nucleus", { ours: ["top-p"] }],
  ["num-samples n-samples num-return-sequences", { ours: ["samples"] }],
  ["stop eos-token", { ours: ["end-token"] }],
  ["text start", { ours: ["prompt"] }],
  ["random-seed manual-seed", { ours: ["seed"] }],
];

const PEERS: ReadonlyMap<string, PeerFlag> = new Map(
  TABLE.flatMap(([theirs, flag]) => theirs.split(" ").map((name) => [name, flag] as const)),
);

/**
 * Our flag for one of another trainer, if a command has one.
 *
 * @param name without the dashes before it
 * @param known the command's flags
 */
export function peerFlag(name: string, known: readonly string[]): PeerFlag | undefined {
  const peer = PEERS.get(name.toLowerCase().replaceAll("_", "-"));
  const ours = peer?.ours.filter((flag) => known.includes(flag)) ?? [];
  return peer && ours.length > 0 ? { ...peer, ours } : undefined;
}

/** What to write instead: "write --steps; a run counts steps …". */
export function peerHint({ ours: [flag], value, note }: PeerFlag): string {
  return `write --${flag}${value === undefined ? "" : ` ${value}`}${note === undefined ? "" : `; ${note}`}`;
}

/**
 * Micro-batches. The global batch of a step is split into micro-batches, and any worker can produce any of them, because each is
 * a function of (seed, step, index of the micro-batch).
 *
 * @module
 */

import { ConfigError } from "../errors.ts";
import type { Corpus } from "./corpus.ts";
import {
  documentSamples,
  endlessEpochs,
  type Epoch,
  type Sample,
  type Span,
  windowOffset,
  windows,
} from "./windows.ts";

/** Sequences of one length with their labels. */
export interface MicroBatch {
  /** Tokens, [b, n]. */
  ids: Int32Array;
  /** The next token of each, [b, n]; −1 is not counted. */
  labels: Int32Array;
  /** 1 for a token, 0 for padding, [b, n]. Only where sequences can be padded: with documents. */
  mask?: Uint8Array;
  /** [b, n] */
  shape: [number, number];
}

/** How micro-batches are made from a corpus. */
export interface MicroBatchOptions {
  /** Tokens of a window. */
  seqLen: number;
  /** Increasing lengths to which documents are padded, the last of them `seqLen`. */
  lengths: readonly number[];
  /** Sequences of the global batch. */
  batch: number;
  /** Sequences of a micro-batch; divides `batch`. */
  microBatch: number;
  /** Seed of offsets and order. */
  seed: number;
  /** Number of samples of the validation part that are evaluated, at most. */
  evalWindows: number;
  /** Where the run's data begins; by default with the first sample. */
  origin?: DataOrigin;
}

/** A step and the number of samples consumed up to its end: a run may have been resumed with another batch size. */
export interface DataOrigin {
  /** 0 for a new run. */
  step: number;
  /** Over all epochs. */
  samples: number;
}

/** The origin of a run's first step. */
export const DATA_BEGINS: Readonly<DataOrigin> = { step: 0, samples: 0 };

/** Number of samples consumed up to the end of `step`, with `batch` sequences per step since the origin. */
export function samplesAfter(step: number, batch: number, origin: DataOrigin): number {
  return origin.samples + (step - origin.step) * batch;
}

/**
 * The micro-batches of a corpus.
 *
 * @example
 * ```ts
 * import { corpusOf } from "./corpus.ts";
 * import { MicroBatches } from "./microbatch.ts";
 * const corpus = corpusOf([new TextEncoder().encode("to be or not to be ".repeat(20))], { validation: 0.2 });
 * const data = new MicroBatches(corpus, { seqLen: 32, lengths: [32], batch: 4, microBatch: 2, seed: 1, evalWindows: 2 });
 * const { ids, labels, shape } = data.train(1, 0);
 * console.assert(shape.join() === "2,32" && ids[1] === labels[0]);
 * ```
 */
export class MicroBatches {
  /** Number of micro-batches of a step. */
  readonly perStep: number;
  /** Number of samples of the first epoch; others differ by one window at most. */
  readonly perEpoch: number;
  /** Number of micro-batches of an evaluation. The last may have fewer sequences. */
  readonly perEvaluation: number;
  readonly #corpus: Corpus;
  readonly #options: MicroBatchOptions;
  readonly #sample: (place: number) => Sample;
  readonly #validation: Epoch;
  readonly #evaluated: number;

  /**
   * Cuts a corpus.
   *
   * @throws {ConfigError} where the training or the validation part is too short
   */
  constructor(corpus: Corpus, options: MicroBatchOptions) {
    checkLength(corpus, options.seqLen);
    const { seqLen, batch, microBatch, seed } = options;
    this.#corpus = corpus;
    this.#options = options;
    const epochs = trainingEpochs(corpus, seqLen, seed);
    this.#sample = endlessEpochs(epochs, seed);
    this.perEpoch = epochs(0).size;
    this.#validation = corpus.documents
      ? documentSamples(corpus.documents.validation, seqLen)
      : windows(corpus.validation.length, seqLen, 0);
    this.#evaluated = Math.min(options.evalWindows, this.#validation.size);
    this.perStep = batch / microBatch;
    this.perEvaluation = Math.ceil(this.#evaluated / microBatch);
  }

  /** Every shape that `train` can return, shortest first: functions are compiled for each before the run. */
  get shapes(): [number, number][] {
    const lengths = this.#corpus.documents ? this.#options.lengths : [this.#options.seqLen];
    return lengths.map((n) => [this.#options.microBatch, n]);
  }

  /** Micro-batch `index`, from 0 on, of step `step`: the next samples of the endless epochs after those consumed before. */
  train(step: number, index: number): MicroBatch {
    const { batch, microBatch, origin = DATA_BEGINS } = this.#options;
    checkIndex(index, this.perStep);
    const first = samplesAfter(step - 1, batch, origin) + index * microBatch;
    const samples = Array.from({ length: microBatch }, (_, i) => this.#sample(first + i));
    return this.#assemble(this.#corpus.train, samples);
  }

  /** Micro-batch `index`, from 0 on, of the validation part: its first samples in the order of the text. */
  validation(index: number): MicroBatch {
    const { microBatch } = this.#options;
    checkIndex(index, this.perEvaluation);
    const first = index * microBatch, count = Math.min(microBatch, this.#evaluated - first);
    const samples = Array.from({ length: count }, (_, i) => this.#validation.at(first + i));
    return this.#assemble(this.#corpus.validation, samples);
  }

  /** Copies samples out of a text and pads them, on the right, to the next of the lengths. */
  #assemble(text: Uint8Array, samples: readonly Sample[]): MicroBatch {
    const longest = Math.max(...samples.map((sample) => sample.length));
    const { lengths, seqLen } = this.#options;
    const n = this.#corpus.documents ? lengths.find((length) => length >= longest)! : seqLen;
    const ids = new Int32Array(samples.length * n); // [b, n]
    const labels = new Int32Array(samples.length * n).fill(-1); // [b, n]
    samples.forEach(({ start, length }, row) => {
      ids.set(text.subarray(start, start + length), row * n);
      labels.set(text.subarray(start + 1, start + length + 1), row * n);
    });
    const shape: [number, number] = [samples.length, n];
    if (!this.#corpus.documents) return { ids, labels, shape };
    return { ids, labels, mask: Uint8Array.from(labels, (label) => Number(label >= 0)), shape };
  }
}

function trainingEpochs(corpus: Corpus, seqLen: number, seed: number): (epoch: number) => Epoch {
  if (corpus.documents) {
    const samples = documentSamples(corpus.documents.train, seqLen);
    return () => samples;
  }
  const length = corpus.train.length;
  return (epoch) => windows(length, seqLen, windowOffset(length, seqLen, seed, epoch));
}

function checkLength(corpus: Corpus, seqLen: number): void {
  const problems: string[] = [];
  for (const part of ["train", "validation"] as const) {
    const name = part === "train" ? "training" : "validation";
    if (corpus.documents) {
      const hasSample = (document: Span) => document.end - document.start > 1;
      if (corpus.documents[part].some(hasSample)) continue;
      problems.push(`data.source: the ${name} part has no document of two bytes or more`);
    } else if (corpus[part].length <= seqLen) {
      problems.push(
        `data.source: the ${name} part of the text has ${corpus[part].length} bytes, and one window of ` +
          `data.seqLen ${seqLen} takes ${
            seqLen + 1
          }: take a longer text, a smaller data.seqLen or another data.validation`,
      );
    }
  }
  if (problems.length > 0) throw new ConfigError(problems);
}

function checkIndex(index: number, count: number): void {
  if (!(index >= 0 && index < count)) {
    throw new RangeError(`micro-batch ${index} was asked for, there are ${count}, from 0 on`);
  }
}

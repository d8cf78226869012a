/**
 * The order of training samples: pure functions of (seed, index), so that any worker can compute any sample and no state has to
 * be saved or sent.
 *
 * @module
 */

import { randomStream } from "../prng.ts";
import { permutation } from "./permutation.ts";

/** A range of tokens. */
export interface Sample {
  /** Index of its first token. */
  start: number;
  /** Number of inputs; one more token is read, the label of the last. */
  length: number;
}

/** The samples of one epoch in the order of the text. */
export interface Epoch {
  /** Their number, at least 1. */
  size: number;
  /** Sample number `index` of the text, from 0 on. */
  at(index: number): Sample;
}

/** The range of a document. */
export interface Span {
  /** Index of its first byte. */
  start: number;
  /** Index after its last byte. */
  end: number;
}

/**
 * Windows of `seqLen` + 1 tokens that start every `seqLen` tokens, so that neighbours share one token and every token
 * after the first of a window is a label once.
 *
 * @param textLength tokens of the text, more than `seqLen`
 * @param offset where the first window starts
 */
export function windows(textLength: number, seqLen: number, offset: number): Epoch {
  return {
    size: Math.floor((textLength - 1 - offset) / seqLen),
    at: (index) => ({ start: offset + index * seqLen, length: seqLen }),
  };
}

/**
 * Where the first window of an epoch starts: uniform in [0, min(seqLen, textLength − seqLen)), so that over the epochs a token
 * has contexts of different lengths, and epochs differ in size by one window at most.
 */
export function windowOffset(textLength: number, seqLen: number, seed: number, epoch: number): number {
  const choices = Math.min(seqLen, textLength - seqLen);
  return Math.floor(randomStream(seed, "window offset").word(epoch) / 2 ** 32 * choices);
}

/**
 * The samples of documents: each document is cut into windows from its first token on; what is left at its end is a shorter
 * sample. Documents of fewer than two tokens have nothing to predict.
 */
export function documentSamples(documents: readonly Span[], seqLen: number): Epoch {
  const samples: Sample[] = [];
  for (const { start, end } of documents) {
    for (let at = start; at < end - 1; at += seqLen) {
      samples.push({ start: at, length: Math.min(seqLen, end - 1 - at) });
    }
  }
  return { size: samples.length, at: (index) => samples[index] };
}

/**
 * The endless sequence of epochs, each in an order of its own.
 *
 * @param epochOf the samples of an epoch, from epoch 0 on
 * @returns sample number `place`, from 0 on, of that sequence
 *
 * @example
 * ```ts
 * import { endlessEpochs, windows } from "./windows.ts";
 * const sample = endlessEpochs(() => windows(1025, 256, 0), 1);
 * const starts = [0, 1, 2, 3].map((place) => sample(place).start);
 * console.assert(starts.toSorted((a, b) => a - b).join() === "0,256,512,768");
 * ```
 */
export function endlessEpochs(epochOf: (epoch: number) => Epoch, seed: number): (place: number) => Sample {
  const starts = [0]; // the place of the first sample of each epoch, extended on demand
  let held = -1, samples: Epoch, order: (index: number) => number; // the epoch used last

  return (place) => {
    while (place >= starts[starts.length - 1]) {
      starts.push(starts[starts.length - 1] + epochOf(starts.length - 1).size);
    }
    const epoch = lastAtMost(starts, place);
    if (epoch !== held) {
      samples = epochOf(epoch);
      order = permutation(samples.size, seed, epoch);
      held = epoch;
    }
    return samples.at(order(place - starts[epoch]));
  };
}

/** The index of the last of increasing numbers that is at most `value` (binary search). */
function lastAtMost(increasing: readonly number[], value: number): number {
  let low = 0, high = increasing.length; // increasing[low] ≤ value < increasing[high]
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    if (increasing[middle] <= value) low = middle;
    else high = middle;
  }
  return low;
}

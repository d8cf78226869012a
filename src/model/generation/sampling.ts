/**
 * Choosing the next token from its logits: a pure function, so that a seed gives the same text again.
 *
 * @module
 */

/** How a token is chosen. */
export interface Sampling {
  /** What the logits are divided by. 0 takes the most likely token; the higher, the more even the choice. Default 1. */
  temperature?: number;
  /** Chooses among this many of the most likely tokens; a number above the vocabulary's size allows all. Default: all. */
  topK?: number;
  /** Chooses among the fewest most likely tokens that together have at least this probability. Default 1: all. */
  topP?: number;
}

/** What the options of sampling may be: name, whether a value is right, and what would be. */
const RULES: [keyof Sampling, (value: number) => boolean, string][] = [
  ["temperature", (value) => Number.isFinite(value) && value >= 0, "a number from 0 up"],
  ["topK", (value) => Number.isSafeInteger(value) && value >= 1, "a whole number from 1 up"],
  ["topP", (value) => value > 0 && value <= 1, "a number above 0, at most 1"],
];

/** Throws a RangeError that names the first option of the wrong value. */
export function checkSampling(sampling: Sampling): void {
  for (const [name, holds, wanted] of RULES) {
    const value = sampling[name];
    if (value !== undefined && !holds(value)) {
      throw new RangeError(`${name} is ${value}; it must be ${wanted}.`);
    }
  }
}

/**
 * The next token.
 *
 * @param logits [v]
 * @param uniform a number in [0, 1) that decides; of no effect at temperature 0
 * @throws {RangeError} when a logit is not finite: the model's weights are broken
 *
 * @example
 * ```ts
 * import { sampleToken } from "./sampling.ts";
 * console.assert(sampleToken([0, 3, 1], { temperature: 0 }, 0.5) === 1);
 * console.assert(sampleToken([0, 3, 1], { topK: 2 }, 0.99) === 2);
 * ```
 */
export function sampleToken(logits: ArrayLike<number>, sampling: Sampling, uniform: number): number {
  const { temperature = 1, topK = Infinity, topP = 1 } = sampling;
  const best = mostLikely(logits);
  if (temperature === 0) return best;
  const candidates = Array.from(logits, (logit, token) => ({
    token,
    weight: Math.exp((logit - logits[best]) / temperature), // the best has weight 1, so the sum is never 0
  }));
  if (topK < candidates.length || topP < 1) candidates.sort((a, b) => b.weight - a.weight);
  const kept = withinMass(candidates.slice(0, topK), topP);
  return draw(kept, uniform);
}

interface Candidate {
  token: number;
  weight: number;
}

/** The token of the largest logit, the first of equals. */
function mostLikely(logits: ArrayLike<number>): number {
  let best = 0;
  for (let token = 0; token < logits.length; token++) {
    if (!Number.isFinite(logits[token])) {
      throw new RangeError(
        `The logit of token ${token} is ${logits[token]}: the model's weights are broken.`,
      );
    }
    if (logits[token] > logits[best]) best = token;
  }
  return best;
}

/** The first of the candidates, most likely first, that hold a share `topP` of the weight: at least one. */
function withinMass(candidates: Candidate[], topP: number): Candidate[] {
  if (topP === 1) return candidates;
  const wanted = topP * totalOf(candidates);
  let mass = 0;
  const last = candidates.findIndex(({ weight }) => (mass += weight) >= wanted);
  return last < 0 ? candidates : candidates.slice(0, last + 1);
}

/** A candidate with the probability of its weight. */
function draw(candidates: Candidate[], uniform: number): number {
  let left = uniform * totalOf(candidates);
  for (const { token, weight } of candidates) {
    left -= weight;
    if (left < 0) return token;
  }
  return candidates.findLast(({ weight }) => weight > 0)!.token; // rounding
}

function totalOf(candidates: readonly Candidate[]): number {
  return candidates.reduce((sum, { weight }) => sum + weight, 0);
}

/**
 * The prompts of a run, which its samples continue.
 *
 * @module
 */

import type { RunConfig } from "../../config/config.ts";
import type { Corpus } from "../../data/corpus.ts";

/** Most bytes of the prompt that is taken from the text. */
const TAKEN = 32;
const NEWLINE = 10, SPACE = 32;

/** The prompts of a run as bytes: those of `eval.samples`, by default the first words of the validation part. */
export function promptsOf(
  { eval: { samples }, data: { seqLen } }: Pick<RunConfig, "eval" | "data">,
  { validation, documents }: Pick<Corpus, "validation" | "documents">,
): Uint8Array[] {
  if (samples) return samples.map((text) => new TextEncoder().encode(text));
  const start = documents ? 0 : afterCutWord(validation);
  const first = validation.findIndex((byte, i) => i >= start && byte > SPACE);
  if (first < 0) return [];
  const taken = validation.subarray(first, first + Math.min(TAKEN, seqLen));
  const newline = taken.indexOf(NEWLINE);
  return [newline < 0 ? wholeCharacters(taken) : taken.slice(0, newline)];
}

/** Where the second word begins, since the text may be cut within the first; 0 where that is long. */
function afterCutWord(text: Uint8Array): number {
  return 1 + text.subarray(0, TAKEN).findIndex((byte) => byte <= SPACE);
}

/** The bytes without a character of UTF-8 at their end that is not complete. */
function wholeCharacters(bytes: Uint8Array): Uint8Array {
  const last = bytes.findLastIndex((byte) => (byte & 0xc0) !== 0x80); // where the last character begins
  const isWhole = !textOf(bytes.subarray(last)).includes("\ufffd");
  return bytes.slice(0, isWhole || last <= 0 ? bytes.length : last);
}

/** Bytes as text; what is no UTF-8 is replaced. */
export function textOf(bytes: Uint8Array): string {
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
}

/**
 * The prompts of a run, which its samples continue.
 *
 * @module
 */

import type { RunConfig } from "../../config/config.ts";
import type { Corpus } from "../../data/corpus.ts";

/** Most bytes of the prompt that is taken from the text. */
const TAKEN = 32;
const NEWLINE = 10;
/** The two high bits of a byte within a character of UTF-8, after its first. */
const isWithin = (byte: number) => (byte & 0xc0) === 0x80;

/** The prompts of a run as bytes: those of `eval.samples`, by default the first words of the validation part. */
export function promptsOf(
  { eval: { samples }, data: { seqLen } }: Pick<RunConfig, "eval" | "data">,
  { validation }: Pick<Corpus, "validation">,
): Uint8Array[] {
  if (samples) return samples.map((text) => new TextEncoder().encode(text));
  const start = validation.findIndex((byte) => byte !== NEWLINE && !isWithin(byte));
  if (start < 0) return [];
  const most = Math.min(start + TAKEN, start + seqLen, validation.length);
  const newline = validation.indexOf(NEWLINE, start);
  if (newline >= 0 && newline < most) return [validation.slice(start, newline)];
  let end = most;
  while (end > start + 1 && end < validation.length && isWithin(validation[end])) end--;
  return [validation.slice(start, end)];
}

/** Bytes as text; what is no UTF-8 is replaced. */
export function textOf(bytes: Uint8Array): string {
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
}

/**
 * Schemas of the values in messages, checked when a message arrives.
 *
 * @module
 */

import { z } from "zod";
import { printable, printableLine } from "../../printable.ts";
import { CODEC_NAMES } from "../vectors/codecs.ts";
import { isName } from "./frames.ts";
import { addressProblem, type SegmentAddress } from "../memory/header.ts";
import { BLOCK } from "../vectors/sums.ts";
import type { Range } from "../vectors/tree.ts";

/** Most leaves of a tree that can be added up (kernel.ts). */
export const MOST_LEAVES = 2 ** 23;
/** Most values of a vector, and of a part of one. */
const MOST_VALUES = 2 ** 32;
/** Most seconds that a timer can wait for. */
const LONGEST = 2_147_483;

/** A whole number from 0 on. */
export const whole = () => z.int().min(0);
/** A whole number that fits into 32 bits: a step, a generation, a checksum. */
export const word = () => z.int().min(0).max(0xffff_ffff);
/** Number of leaves of a tree. */
export const leaves = () => z.int().min(1).max(MOST_LEAVES);
/** Number of values of a vector. */
export const values = () => z.int().min(0).max(MOST_VALUES);
/** Elapsed seconds. */
export const seconds = () => z.number().min(0);
/** Interval of a timer, in seconds. */
export const interval = () => z.number().gt(0).max(LONGEST);

/** Any number. JSON has no notation for NaN and infinities, which losses can be: they travel as {@linkcode notFinite}. */
export const anyNumber = () =>
  z.union([z.number(), notFiniteSchema.transform((value) => Number(value.notFinite))]);

const notFiniteSchema = z.strictObject({ notFinite: z.enum(["NaN", "Infinity", "-Infinity"]) });

/** A number that JSON has no notation for, as it is sent. */
export function notFinite(value: number): z.infer<typeof notFiniteSchema> {
  return { notFinite: String(value) as "NaN" };
}

/** Name of a member or a reducer. */
export const name = () => z.string().refine(isName);
/** Names, each once. */
export const names = () => z.array(name()).refine((all) => new Set(all).size === all.length);
/** SHA-256 in hexadecimal. */
export const hash = () => z.string().regex(/^[0-9a-f]{64}$/);
/** Identity of a run. */
export const id = () => z.string().regex(/^[0-9a-f-]{36}$/);
/** Name of a vector or a parameter. */
export const label = () => z.string().regex(/^[\x21-\x7e]{1,256}$/);
/** A line for people, its control characters escaped. */
export const line = () => z.string().transform(printableLine);
/** An error message, perhaps of several lines, its control characters escaped. */
export const text = () => z.string().transform(printable);

/** Where a segment of shared memory is found. */
export const memory = (): z.ZodType<SegmentAddress> =>
  z.strictObject({ pid: z.number(), fd: z.number(), bytes: z.number(), nonce: z.string() })
    .refine((address) => addressProblem(address) === undefined);

/** A range that is not empty. */
export const range = () => z.custom<Range>((value) => isSpan(value) && value[0] < value[1]);
/** A range that may be empty. */
export const span = () => z.custom<Range>(isSpan);

function isSpan(value: unknown): value is Range {
  if (!Array.isArray(value) || value.length !== 2) return false;
  const [lo, hi] = value;
  return Number.isInteger(lo) && Number.isInteger(hi) && 0 <= lo && lo <= hi && hi <= MOST_LEAVES;
}

/** Payload of the all-reduce, in bytes. */
export const stepTraffic = {
  /** Sent by members. */
  bytesSent: whole(),
  /** Received by members. */
  bytesReceived: whole(),
};

/** What every process that sends or receives vectors has to know. */
export const exchangeSizes = {
  /** Micro-batches of the batch. */
  microBatches: leaves(),
  /** Values of a part of a vector. */
  partElements: z.int().min(BLOCK).max(MOST_VALUES).multipleOf(BLOCK),
  /** Encoding of sums and means. */
  codec: z.enum(CODEC_NAMES),
  /** Most bytes in flight. */
  windowBytes: z.int().min(1),
  /** Seconds between two heartbeats. */
  heartbeatSeconds: interval(),
  /** Seconds of silence until a process is lost. */
  silenceSeconds: z.number().gt(0),
};

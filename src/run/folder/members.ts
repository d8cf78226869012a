/**
 * `members.jsonl`: how the members of a run have spent their time, one line every ten seconds, however many steps that are.
 *
 * @module
 */

import { z } from "zod";

const seconds = z.number().min(0);
const bytes = z.int().min(0);

const member = z.object({
  /** "cpu", or the name of its GPU. */
  device: z.string(),
  /** Micro-batches [lo, hi) of its last order; absent where it has none. */
  range: z.tuple([z.int().min(0), z.int().min(0)]).optional(),
  /** Since the line before: computing gradients, exchanging sums and means, and neither of both. */
  computing: seconds,
  exchanging: seconds,
  waiting: seconds,
  /** All-reduce payload since the line before. */
  bytesSent: bytes,
  bytesReceived: bytes,
  /** Resident memory of its process. */
  memory: bytes,
  /** How long ago its last message came. */
  heardAgo: seconds,
});

/** How a member has spent the time since the line before. */
export type MemberUsage = z.output<typeof member>;

/** The schema of a line of `members.jsonl`. */
export const membersLineSchema = z.object({
  /** ISO 8601, UTC. */
  at: z.iso.datetime(),
  /** The last step that was committed. */
  step: z.int().min(0),
  /** Since the line before, or since the start. */
  seconds,
  members: z.record(z.string(), member),
});

/** A line of `members.jsonl`. */
export type MembersLine = z.output<typeof membersLineSchema>;

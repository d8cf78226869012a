/**
 * `members.jsonl`: how the members of a run have spent their time, one line every ten seconds, however many steps that are.
 *
 * @module
 */

import { z } from "zod";
import type { MemberUsage } from "../../dist/mod.ts";
import { mapValues } from "../../records.ts";

/** A line of `members.jsonl`. */
export interface MembersLine {
  /** When it was written, ISO 8601 in UTC. */
  at: string;
  /** The last step that was committed. */
  step: number;
  /** Since the line before, or since training began. */
  seconds: number;
  /** How each member has spent that time, by name. */
  members: Record<string, MemberUsage>;
}

const seconds = z.number().min(0);
const count = z.int().min(0);

const usage = z.object({
  device: z.string(),
  range: z.tuple([count, count]).optional(),
  computing: seconds,
  exchanging: seconds,
  waiting: seconds,
  bytesSent: count,
  bytesReceived: count,
  memory: count,
  heardAgo: seconds,
});

/** The schema of a line of `members.jsonl`. */
export const membersLineSchema: z.ZodType<MembersLine> = z.object({
  at: z.iso.datetime(),
  step: count,
  seconds,
  members: z.record(z.string(), usage),
});

/** The line with its seconds rounded to milliseconds, which is what can be told apart. */
export function toMilliseconds(line: MembersLine): MembersLine {
  const members = mapValues(line.members, (usage) => ({
    ...usage,
    computing: rounded(usage.computing),
    exchanging: rounded(usage.exchanging),
    waiting: rounded(usage.waiting),
    heardAgo: rounded(usage.heardAgo),
  }));
  return { ...line, seconds: rounded(line.seconds), members };
}

function rounded(seconds: number): number {
  return Math.round(1000 * seconds) / 1000;
}

/**
 * How the members of a run have spent their time, from `members.jsonl`: as shares over the run for a picture, and as sums for
 * each member.
 *
 * @module
 */

import { type MembersLine, membersLineSchema } from "../run/folder/members.ts";

/** Shares of the time, mean over the members, from 0 to 1. */
export interface UsageColumns {
  /** Seconds since 1970. */
  at: number[];
  /** The last step that was committed then. */
  step: number[];
  computing: number[];
  exchanging: number[];
  waiting: number[];
}

/** All that a member has done while it was there: its last device, its seconds and bytes as sums, the most memory it was seen with. */
export type MemberTotal = Omit<MembersLine["members"][string], "range" | "heardAgo">;

const SHARES = ["computing", "exchanging", "waiting"] as const;
const SUMS = [...SHARES, "bytesSent", "bytesReceived"] as const;

/** The lines of `members.jsonl`, added up. */
export class UsageTable {
  readonly #rows: UsageColumns = noRows();
  /** By name, in the order in which they came. */
  readonly members = new Map<string, MemberTotal>();
  /** The last line. */
  last: MembersLine | undefined;

  /** Lines that were added. */
  get length(): number {
    return this.#rows.at.length;
  }

  /** Adds a line; one that is torn or does not fit the schema is passed over. */
  add(text: string): void {
    const line = lineOf(text);
    if (!line) return;
    this.last = line;
    const sums = { computing: 0, exchanging: 0, waiting: 0 };
    for (const [name, member] of Object.entries(line.members)) {
      const total = this.members.get(name) ?? noTime(member.device);
      for (const key of SUMS) total[key] += member[key];
      for (const key of SHARES) sums[key] += member[key];
      total.device = member.device;
      total.memory = Math.max(total.memory, member.memory);
      this.members.set(name, total);
    }
    const whole = sums.computing + sums.exchanging + sums.waiting;
    this.#rows.at.push(Date.parse(line.at) / 1000);
    this.#rows.step.push(line.step);
    for (const key of SHARES) this.#rows[key].push(whole > 0 ? sums[key] / whole : NaN);
  }

  /** Rows `from` on, in at most `points` buckets of equally many. */
  thin(points: number, from = 0, to = this.length): UsageColumns {
    const size = Math.max(1, Math.ceil((to - from) / points));
    const thinned = noRows();
    for (let start = from; start < to; start += size) {
      const end = Math.min(to, start + size);
      thinned.at.push(this.#rows.at[end - 1]);
      thinned.step.push(this.#rows.step[end - 1]);
      for (const key of SHARES) {
        const finite = this.#rows[key].slice(start, end).filter(Number.isFinite);
        const mean = finite.reduce((sum, share) => sum + share, 0) / finite.length;
        thinned[key].push(Math.round(mean * 1e4) / 1e4);
      }
    }
    return thinned;
  }
}

function lineOf(text: string): MembersLine | undefined {
  try {
    return membersLineSchema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

function noRows(): UsageColumns {
  return { at: [], step: [], computing: [], exchanging: [], waiting: [] };
}

function noTime(device: string): MemberTotal {
  return { device, computing: 0, exchanging: 0, waiting: 0, bytesSent: 0, bytesReceived: 0, memory: 0 };
}

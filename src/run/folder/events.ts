/**
 * What happened to a run besides its steps: the lines of `events.jsonl`, and their schema. Everything that a person should be
 * able to look up later is one of these; the lines of a log are made from them.
 *
 * The types repeat the schema by hand, for the documentation, as those of the configuration do (src/config/types.ts).
 *
 * @module
 */

import { z } from "zod";

/** What a run is: shown when it starts, and kept as its first event. */
export type RunCard = {
  /** The run's folder, on the machine that wrote this. */
  folder: string;
  /** Its name, by which workers join. */
  run: string;
  /** Number of parameters, their bytes in float32, and the multiplications and additions of training on one token. */
  model: { parameters: number; bytes: number; flopsPerToken: number };
  /** Tokens of the part to train on, and of that to validate on; how often the run's steps see the training part. */
  text: { source: string; training: number; validation: number; epochs: number };
  /** Tokens of a step, at most. */
  batch: { tokens: number; microBatches: number };
  /**
   * Worker processes on this machine, 0 for a run in one process; threads of each, and peak memory expected of each process that
   * computes, in bytes. A coordinator that others join does not know theirs.
   */
  machine?: { workers: number; device: string; threads: number; memory?: number };
};

/** A line of `events.jsonl` without its time. `step` is the last step that was committed when it happened. */
export type RunHappening =
  | { event: "started"; step: number; card: RunCard }
  /** The run was resumed: later steps before this line are done again, and their checkpoints do not count. */
  | { event: "resumed"; step: number }
  /** Another coordinator continues the run. */
  | { event: "failover"; step: number; term: number; members: string[] }
  /** `isNear`: it shares memory with the coordinator's machine. */
  | { event: "joined"; step: number; member: string; isNear?: boolean; members: number }
  /** State transfer: a newcomer restores the state of `step` from a member. */
  | { event: "joining"; step: number; member: string; donor: string }
  /** A member left by itself. */
  | { event: "left"; step: number; member: string; members: number }
  /** A member died, froze, was cut off or failed. */
  | { event: "lost"; step: number; member: string; members: number; reason: string }
  | { event: "refused"; step: number; member: string; reasons: string[] }
  /** The step was skipped by all members. */
  | { event: "skipped"; step: number; reason: string }
  | { event: "evaluated"; step: number; valLoss: number }
  /** A continuation of a prompt by the model after `step`. */
  | { event: "sample"; step: number; member: string; prompt: string; text: string }
  /**
   * A checkpoint is complete. `member` is whose state it is, "single" in a run without workers; `place` its folder, in the run's own
   * or, where `elsewhere` says so, on the machine of the member.
   */
  | { event: "saved"; step: number; member: string; place: string; elsewhere?: true }
  | { event: "unsaved"; step: number; error: string }
  | { event: "reducerJoined"; step: number; reducer: string; reducers: number }
  | { event: "reducerLeft"; step: number; reducer: string; reducers: number; reason?: string }
  | { event: "residualsDropped"; step: number; holder: string; reason: string }
  /** A member was lost in a round of local steps: these micro-batches of each of its steps are not in the result. */
  | {
    event: "dropped";
    step: number;
    member: string;
    steps: [first: number, last: number];
    microBatches: [lo: number, hi: number];
  }
  | { event: "warning"; step: number; text: string }
  /** The run ended: at its last step, at a signal, or with an error. */
  | { event: "ended"; step: number; outcome: "done" | "stopped" | "failed"; error?: string };

/** A line of `events.jsonl`: what happened, and when by the clock of the coordinator's machine, as ISO 8601 in UTC. */
export type RecordedEvent = RunHappening & { at: string };

const step = z.int().min(0);
const member = z.string();
const count = z.int().min(0);
const pair = z.tuple([count, count]);
/** A loss, which may be no number: then JSON has a word for it. */
const loss = z.custom<number>((value) => typeof value === "number")
  .or(z.enum(["NaN", "Infinity", "-Infinity"]).transform(Number));

const card = z.object({
  folder: z.string(),
  run: z.string(),
  model: z.object({ parameters: count, bytes: count, flopsPerToken: z.number() }),
  text: z.object({ source: z.string(), training: count, validation: count, epochs: z.number() }),
  batch: z.object({ tokens: count, microBatches: count }),
  machine: z.object({ workers: count, device: z.string(), threads: count, memory: count.optional() })
    .optional(),
});

const happenings = [
  z.object({ event: z.literal("started"), step, card }),
  z.object({ event: z.literal("resumed"), step }),
  z.object({ event: z.literal("failover"), step, term: count, members: z.array(member) }),
  z.object({ event: z.literal("joined"), step, member, isNear: z.boolean().optional(), members: count }),
  z.object({ event: z.literal("joining"), step, member, donor: member }),
  z.object({ event: z.literal("left"), step, member, members: count }),
  z.object({ event: z.literal("lost"), step, member, members: count, reason: z.string() }),
  z.object({ event: z.literal("refused"), step, member, reasons: z.array(z.string()) }),
  z.object({ event: z.literal("skipped"), step, reason: z.string() }),
  z.object({ event: z.literal("evaluated"), step, valLoss: loss }),
  z.object({ event: z.literal("sample"), step, member, prompt: z.string(), text: z.string() }),
  z.object({
    event: z.literal("saved"),
    step,
    member,
    place: z.string(),
    elsewhere: z.literal(true).optional(),
  }),
  z.object({ event: z.literal("unsaved"), step, error: z.string() }),
  z.object({ event: z.literal("reducerJoined"), step, reducer: member, reducers: count }),
  z.object({
    event: z.literal("reducerLeft"),
    step,
    reducer: member,
    reducers: count,
    reason: z.string().optional(),
  }),
  z.object({ event: z.literal("residualsDropped"), step, holder: member, reason: z.string() }),
  z.object({ event: z.literal("dropped"), step, member, steps: pair, microBatches: pair }),
  z.object({ event: z.literal("warning"), step, text: z.string() }),
  z.object({
    event: z.literal("ended"),
    step,
    outcome: z.enum(["done", "stopped", "failed"]),
    error: z.string().optional(),
  }),
] as const;

/** Checks lines of `events.jsonl`. */
export interface EventSchema {
  /** The event that a line is. Throws an error with all that does not fit. */
  parse(line: unknown): RecordedEvent;
  /** The event, or the error. */
  safeParse(line: unknown): { success: boolean; data?: RecordedEvent; error?: Error };
}

/**
 * The schema of a line of `events.jsonl`, as `JSON.parse` reads it. Lines of later versions with other names do not fit it and are
 * skipped by readers.
 *
 * @example
 * ```ts
 * import { recordedEventSchema } from "./events.ts";
 * const line = '{"at":"2026-11-28T07:00:00.000Z","event":"joined","step":3,"member":"b-0","members":2}';
 * console.assert(recordedEventSchema.parse(JSON.parse(line)).event === "joined");
 * ```
 */
export const recordedEventSchema: EventSchema = z.discriminatedUnion("event", happenings)
  .and(z.object({ at: z.iso.datetime() }));

/**
 * What happened to a run besides its steps: the lines of `events.jsonl`, and their schema. Everything that a person should be
 * able to look up later is one of these; the lines of a log are made from them.
 *
 * @module
 */

import { z } from "zod";

const step = z.int().min(0);
const member = z.string();
const members = z.int().min(0);
const microBatches = z.tuple([z.int().min(0), z.int().min(0)]);

/** What a run is: shown when it starts. */
const card = z.object({
  /** The run's folder, on the machine that wrote this. */
  folder: z.string(),
  /** Its name, by which workers join. */
  run: z.string(),
  model: z.object({
    parameters: z.int(),
    /** Of the parameters, in float32. */
    bytes: z.int(),
    /** Multiplications and additions of a training step, for one token, forward and backward. */
    flopsPerToken: z.number(),
  }),
  text: z.object({
    source: z.string(),
    /** Tokens of the part to train on, and of that to validate on. */
    training: z.int(),
    validation: z.int(),
    /** How often the run's steps see the training part. */
    epochs: z.number(),
  }),
  batch: z.object({
    /** Tokens of a step, at most. */
    tokens: z.int(),
    microBatches: z.int(),
  }),
  machine: z.object({
    /** Worker processes on this machine; 0 for a run in one process. */
    workers: z.int(),
    device: z.string(),
    /** Threads of each. */
    threads: z.int(),
    /** Peak memory expected of each process that computes, bytes. */
    memory: z.int().optional(),
  }),
});

/** What a run is: shown when it starts, and kept as its first event. */
export type RunCard = z.output<typeof card>;

const eventSchemas = [
  z.object({ event: z.literal("started"), step, card }),
  /** The run was resumed: later steps before this line are done again, and their checkpoints do not count. */
  z.object({ event: z.literal("resumed"), step }),
  /** Another coordinator continues the run. */
  z.object({ event: z.literal("failover"), step, term: z.int(), members: z.array(member) }),
  z.object({ event: z.literal("joined"), step, member, members }),
  /** State transfer: a newcomer restores the state of `step` from a member. */
  z.object({ event: z.literal("joining"), step, member, donor: member }),
  /** A member left by itself. */
  z.object({ event: z.literal("left"), step, member, members }),
  /** A member died, froze, was cut off or failed. */
  z.object({ event: z.literal("lost"), step, member, members, reason: z.string() }),
  z.object({ event: z.literal("refused"), step, member, reasons: z.array(z.string()) }),
  /** The step was skipped by all members. */
  z.object({ event: z.literal("skipped"), step, reason: z.string() }),
  z.object({ event: z.literal("evaluated"), step, valLoss: z.number().or(z.nan()) }),
  /** A continuation of a prompt by the model after `step`. */
  z.object({ event: z.literal("sample"), step, member, prompt: z.string(), text: z.string() }),
  z.object({
    event: z.literal("saved"),
    step,
    /** The member whose state it is; "single" for a run without workers. */
    member,
    /** Its folder, on the machine named by `elsewhere`, or else in the run's own. */
    place: z.string(),
    /** Whether it is on the member's machine, and not in the run's folder. */
    elsewhere: z.literal(true).optional(),
  }),
  z.object({ event: z.literal("unsaved"), step, error: z.string() }),
  z.object({ event: z.literal("reducerJoined"), step, reducer: member, reducers: members }),
  z.object({
    event: z.literal("reducerLeft"),
    step,
    reducer: member,
    reducers: members,
    reason: z.string().optional(),
  }),
  z.object({ event: z.literal("residualsDropped"), step, holder: member, reason: z.string() }),
  /** A member was lost in a round of local steps: these micro-batches of each of its steps are not in the result. */
  z.object({
    event: z.literal("dropped"),
    step,
    member,
    steps: z.tuple([step, step]),
    microBatches,
  }),
  z.object({ event: z.literal("warning"), step, text: z.string() }),
  /** The run ended: at its last step, at a signal, or with an error. */
  z.object({
    event: z.literal("ended"),
    step,
    outcome: z.enum(["done", "stopped", "failed"]),
    error: z.string().optional(),
  }),
] as const;

const at = z.iso.datetime();

/** The schema of a line of `events.jsonl`. Lines of later versions with other names do not fit it and are skipped by readers. */
export const recordedEventSchema = z.discriminatedUnion("event", eventSchemas).and(z.object({ at }));

/** A line of `events.jsonl` without its time. `step` is the last step that was committed when it happened. */
export type RunHappening = z.output<typeof eventSchemas[number]>;

/** A line of `events.jsonl`: what happened, and when by the clock of the coordinator's machine, as ISO 8601 in UTC. */
export type RecordedEvent = RunHappening & { at: string };

/**
 * What the dashboard's server says to its page, as the page takes it: types only, for the page's JSDoc. Numbers that are not
 * finite arrive as null.
 *
 * @module
 */

import type { RecordedEvent, RunCard } from "../../run/folder/events.ts";
import type { MembersLine, MemberUsage } from "../../run/folder/members.ts";

export type { MembersLine, MemberUsage, RecordedEvent, RunCard };

/** A number, or null where it is not known or not finite. */
export type Maybe = number | null;

/** What the x axis of all charts counts. */
export type Axis = "step" | "tokens" | "time";

/** A run in the list. */
export interface RunItem {
  name: string;
  /** "ended": nothing says why. */
  state: "running" | "done" | "stopped" | "failed" | "ended";
  started: string | null;
  updated: string | null;
  /** The last one, of `steps`. */
  step: number;
  steps: number;
  loss: Maybe;
  valLoss: Maybe;
  best: { step: number; valLoss: number } | null;
  tokensPerSecond: Maybe;
  /** Seconds of training. */
  elapsed: number;
  workers: number;
  parameters: Maybe;
  /** From the defaults, by dotted path. */
  differs: Record<string, unknown>;
}

/** The curves of a run, a row for each step or bucket of steps. */
export interface Columns {
  step: number[];
  /** Seconds since 1970. */
  at: Maybe[];
  /** Seconds of training. */
  elapsed: Maybe[];
  /** Since the first step. */
  tokens: Maybe[];
  loss: Maybe[];
  lossMin: Maybe[];
  lossMax: Maybe[];
  gradNorm: Maybe[];
  lr: Maybe[];
  tokensPerSecond: Maybe[];
  secondsPerStep: Maybe[];
  /** Sent and received in a step. */
  bytes: Maybe[];
  workers: Maybe[];
}

/** The evaluations of a run. */
export interface Validation {
  step: number[];
  at: Maybe[];
  elapsed: Maybe[];
  tokens: Maybe[];
  valLoss: Maybe[];
}

/** Shares of the members' time, 0 to 1. */
export interface Usage {
  at: Maybe[];
  step: number[];
  computing: Maybe[];
  exchanging: Maybe[];
  waiting: Maybe[];
}

/** The answer of `/api/curves`. */
export interface Curves {
  columns: Columns;
  skipped: number[];
  validation: Validation;
  usage: Usage;
}

/** The answer of `/api/run`. */
export interface RunDetails {
  item: RunItem;
  card: RunCard | null;
  config: Record<string, unknown>;
  events: RecordedEvent[];
  /** How many more there are. */
  eventsBefore: number;
  members: MembersLine | null;
}

/** A row of `/api/compare`. */
export interface Difference {
  path: string;
  a: unknown;
  b: unknown;
}

/** The choices of the person who looks, which the address keeps. */
export interface Choices {
  /** Names of the runs overlaid, by the number of their colour; "" where a colour is free. */
  runs: string[];
  /** The run whose members, events, samples and configuration are shown; "" for the first one. */
  focus: string;
  axis: Axis;
  isLog: boolean;
  /** Per cent of what is visible. */
  smoothing: number;
}

/**
 * What the dashboard's server says to its page, as JSON brings it: numbers that are not finite are null. Types only, for the page's
 * JSDoc.
 *
 * @module
 */

import type { RecordedEvent, RunCard } from "../../run/folder/events.ts";
import type { MembersLine } from "../../run/folder/members.ts";
import type { StepColumns, ValidationColumns } from "../../watch/steps.ts";
import type { UsageColumns } from "../../watch/usage.ts";
import type { RunItem as WatchedItem } from "../../watch/watched_run.ts";

export type { MembersLine, RecordedEvent, RunCard };

/** How a member has spent the time since the line before. */
export type MemberUsage = MembersLine["members"][string];

/** A number, or null where it is not known or not finite. */
export type Maybe = number | null;

/** Columns of numbers, of which only the steps are always known. */
type Received<Columns> = { [Name in keyof Columns]: Name extends "step" ? number[] : Maybe[] };

/** The curves of a run, a row for each step or bucket of steps. */
export type Columns = Received<StepColumns>;

/** The evaluations of a run. */
export type Validation = Received<ValidationColumns>;

/** Shares of the members' time, 0 to 1. */
export type Usage = Received<UsageColumns>;

/** A run in the list. */
export type RunItem = { [Name in keyof WatchedItem]: MayBeNull<Name, WatchedItem[Name]> };

type MayBeNull<Name, Value> = Name extends "loss" | "valLoss" | "tokensPerSecond" ? Value | null : Value;

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

/** What the x axis of all charts counts. */
export type Axis = "step" | "tokens" | "time";

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

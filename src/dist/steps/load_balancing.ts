/**
 * Work by measured speed: a slow member gets fewer micro-batches, so that the others don't wait for it. Ranges change only
 * where that gains enough, so that they don't oscillate. Pure functions.
 *
 * @module
 */

import type { Member } from "../state/participants.ts";
import type { RunState } from "../state/run_state.ts";
import { assignRanges, type Range } from "../vectors/tree.ts";

/** Weight of the newest measurement. */
const NEWEST = 0.3;
/** Share of the gap to the average speed by which the assumed speed of a member without work rises each step. */
const TRUST = 0.05;
/** A new cut must be faster than the old one by this share of a step's time, and by the seconds below. */
const LEAST_GAIN = 0.2;
const LEAST_GAIN_SECONDS = 0.05;
/** Above the relative error of a sum of speeds. */
const ROUNDING = 1e-9;

/** worker-2 before worker-10. Made once: `localeCompare` would make one for each comparison. */
const byNumber = new Intl.Collator("en", { numeric: true });

/** A member after it has computed micro-batches. The first time does not count, since kernels may have been compiled. */
export function measured(member: Member, microBatches: number, seconds: number): Member {
  const { speed, isWarm, isTrusted } = member;
  if (!isWarm) return { ...member, isWarm: true };
  const newest = microBatches / Math.max(seconds, 1e-6);
  const isKnown = speed !== undefined && !isTrusted; // an assumed speed is replaced
  return { ...member, speed: isKnown ? (1 - NEWEST) * speed + NEWEST * newest : newest, isTrusted: false };
}

/** The cut of the next step, for members in the order of their names: the last one, unless another is clearly faster. */
export function cut({ members, plan, lastCut }: RunState): Record<string, Range> {
  const names = inOrder(members);
  const speeds = speedsOf(names.map((name) => members.get(name)!));
  const last = names.map((name) => lastCut[name]);
  const isSame = Object.keys(lastCut).length === names.length && last.every((range) => range !== undefined);
  const ranges = isSame
    ? betterCut(last, speeds, plan.microBatches)
    : assignRanges(plan.microBatches, speeds);
  return Object.fromEntries(names.map((name, i) => [name, ranges[i]]));
}

/** The best cut where it is clearly faster than the last one, which is kept otherwise. */
function betterCut(
  last: readonly Range[],
  speeds: readonly number[],
  microBatches: number,
): readonly Range[] {
  const before = slowest(last, speeds);
  const isClear = (seconds: number) => {
    const gain = before - seconds;
    return gain >= LEAST_GAIN * before && gain >= LEAST_GAIN_SECONDS;
  };
  const isIdle = last.some(([lo, hi]) => lo === hi);
  // No cut is faster than one that leaves no member waiting. Most steps need no other, and trying all takes time.
  const least = microBatches / speeds.reduce((sum, speed) => sum + speed, 0);
  if (!isIdle && !isClear((1 - ROUNDING) * least)) return last;
  const best = assignRanges(microBatches, speeds);
  // A member that had no work and is trusted again needs no gain: otherwise it would never get any.
  const isTrusted = last.some(([lo, hi], i) => lo === hi && best[i][0] < best[i][1]);
  return isTrusted || isClear(slowest(best, speeds)) ? best : last;
}

/** Equal ranges of any number of micro-batches. */
export function evenCut({ members }: RunState, microBatches: number): Record<string, Range> {
  const names = inOrder(members);
  const ranges = assignRanges(microBatches, names.map(() => 1));
  return Object.fromEntries(names.map((name, i) => [name, ranges[i]]));
}

function inOrder(members: ReadonlyMap<string, Member>): string[] {
  return [...members.keys()].sort(byNumber.compare);
}

/** The members after a step was cut: one without work is not measured, and its assumed speed rises gradually. */
export function trusted(
  state: RunState,
  ranges: Readonly<Record<string, Range>>,
): ReadonlyMap<string, Member> {
  const average = averageSpeed([...state.members.values()]) ?? 0;
  return new Map([...state.members].map(([name, member]) => {
    const [lo, hi] = ranges[name];
    if (lo < hi || member.speed === undefined) return [name, member];
    return [name, { ...member, isTrusted: true, speed: member.speed + TRUST * (average - member.speed) }];
  }));
}

/** Measured speeds; a member that was not measured yet counts as average. */
function speedsOf(members: readonly Member[]): number[] {
  const average = averageSpeed(members) ?? 1;
  return members.map(({ speed }) => speed ?? average);
}

function averageSpeed(members: readonly Member[]): number | undefined {
  const speeds = members.flatMap(({ speed }) => speed ?? []);
  return speeds.length > 0 ? speeds.reduce((sum, speed) => sum + speed, 0) / speeds.length : undefined;
}

/** Seconds that the slowest member takes. */
function slowest(ranges: readonly Range[], speeds: readonly number[]): number {
  return Math.max(...ranges.map(([lo, hi], i) => (hi - lo) / speeds[i]));
}

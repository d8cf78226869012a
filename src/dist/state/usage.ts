/**
 * How members spend their time. Each counts for itself and reports it with its heartbeats; now and then the differences are told.
 * Pure functions.
 *
 * @module
 */

import { type MemberUsage, USAGE_SECONDS } from "../replica/plan.ts";
import type { Traffic } from "../protocol/messages.ts";
import type { Member } from "./participants.ts";
import type { RunState, Transition } from "./run_state.ts";
import { reportAnd, stay } from "./transitions.ts";

/** Whether it is time to tell how members spend their time, while they train. */
export function isUsageDue({ generation, stage, toldAt = -Infinity }: RunState, now: number): boolean {
  return generation > 0 && stage.kind !== "ended" && now - toldAt >= USAGE_SECONDS;
}

/** Tells how members have spent their time since it was last told; the first time it is only noted what they had counted before. */
export function tellUsage(state: RunState, now: number): Transition {
  const { toldAt, members } = state;
  const next = stay(told(state, now));
  if (toldAt === undefined) return next;
  const usages: Record<string, MemberUsage> = {};
  for (const member of members.values()) {
    const usage = usageOf(state, member, now);
    if (usage) usages[member.name] = usage;
  }
  return reportAnd({ kind: "usage", seconds: now - toldAt, members: usages }, next);
}

/** The next time what they have counted so far is subtracted; of one that comes back, what it had counted when it did. */
function told(state: RunState, now: number): RunState {
  const here = new Set([...state.members.values(), ...state.candidates.values()].map(({ nonce }) => nonce));
  const toldTraffic = new Map([...state.traffic].filter(([nonce]) => here.has(nonce)));
  return { ...state, toldAt: now, toldTraffic };
}

/** The usage of a member; undefined where it has reported nothing yet. */
function usageOf(state: RunState, member: Member, now: number): MemberUsage | undefined {
  const { nonce, device, heardAt } = member;
  const traffic = state.traffic.get(nonce);
  if (!traffic) return undefined;
  const before = state.toldTraffic.get(nonce) ?? traffic;
  const range = state.lastCut[member.name];
  return {
    device,
    ...(range ? { range: [...range] } : {}),
    computing: since(traffic, before, ({ spent }) => spent.computing),
    exchanging: since(traffic, before, ({ spent }) => spent.exchanging),
    waiting: since(traffic, before, ({ spent }) => spent.waiting),
    bytesSent: since(traffic, before, ({ bytesSent }) => bytesSent),
    bytesReceived: since(traffic, before, ({ bytesReceived }) => bytesReceived),
    memory: traffic.memory,
    heardAgo: Math.max(0, now - heardAt),
  };
}

/** Counters that a member reports may be wrong: a line of negative numbers would fit no schema. */
function since(traffic: Traffic, before: Traffic, count: (traffic: Traffic) => number): number {
  return Math.max(0, count(traffic) - count(before));
}

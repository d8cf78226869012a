/**
 * Where the time of a run's steps went, in words and numbers.
 *
 * @module
 */

import { printableLine } from "../printable.ts";
import type { StepTable } from "./steps.ts";
import { tableOf } from "./table.ts";
import type { MemberTotal, UsageTable } from "./usage.ts";
import { bytesText, clock, shareText, shortened, wholeText } from "./words.ts";

/** How much less than the others a member waits that holds them up, as a share of the time. */
const TELLING = 0.1;
/** Characters of a name or a device, at most. */
const NAME = 20;

/** What members can do with their time, with the words for it. */
const KINDS = {
  computing: ["computing gradients:", "workers on more or faster machines make steps shorter."],
  exchanging: [
    "exchanging sums and means:",
    "a larger train.batch, reducers or a dist.codec of fewer bytes make it less.",
  ],
  waiting: ["waiting", "for the slowest member, the coordinator, or work."],
};
type Kind = keyof typeof KINDS;

/** A member's time, as shares of its own. */
interface MemberShares {
  name: string;
  total: MemberTotal;
  shares: Record<Kind, number>;
}

/** The profile of a run, in lines. */
export function profileOf(steps: StepTable, usage: UsageTable): string[] {
  if (steps.length === 0) return ["The run has no steps yet."];
  const [seconds, speed, bytes] = ratesOf(steps);
  const elapsed = steps.value("elapsed", -1);
  const lines = [
    `${wholeText(steps.length)} steps in ${clock(elapsed)}: ${seconds.toPrecision(3)} s each, ` +
    `${wholeText(speed)} tokens/s${bytes > 0 ? `, ${bytesText(bytes)} exchanged in each` : ""}`,
  ];
  if (usage.members.size === 0) {
    return [
      ...lines,
      "Its folder does not say how its members spent that time: members.jsonl has no lines.",
      "A run writes one every ten seconds; those of earlier versions write none.",
    ];
  }
  const members = Array.from(usage.members, ([name, total]) => ({ name, total, shares: sharesOf(total) }))
    .sort((a, b) => a.shares.waiting - b.shares.waiting);
  return [...lines, "", ...numbersOf(members), "", ...wordsOf(members)];
}

/** Seconds of a step, tokens per second, bytes of a step: means over all steps. */
function ratesOf(steps: StepTable): [seconds: number, speed: number, bytes: number] {
  const { secondsPerStep, tokensPerSecond, bytes } = steps.thin(1);
  return [secondsPerStep[0], tokensPerSecond[0], bytes[0]];
}

function sharesOf(total: Record<Kind, number>): Record<Kind, number> {
  const whole = total.computing + total.exchanging + total.waiting;
  return {
    computing: total.computing / whole,
    exchanging: total.exchanging / whole,
    waiting: total.waiting / whole,
  };
}

/** A table: members, that which waits least first, and all together. */
function numbersOf(members: readonly MemberShares[]): string[] {
  const row = (name: string, device: string, shares: Record<Kind, number>, rest: string[]) => [
    shortened(printableLine(name), NAME),
    shortened(printableLine(device), NAME),
    ...[shares.computing, shares.exchanging, shares.waiting].map(shareText),
    ...rest,
  ];
  const bytes = ({ bytesSent, bytesReceived, memory }: MemberTotal) =>
    [bytesSent, bytesReceived, memory].map(bytesText);
  return tableOf([
    ["member", "device", "computing", "exchanging", "waiting", "sent", "received", "memory"],
    ...members.map(({ name, total, shares }) => row(name, total.device, shares, bytes(total))),
    ...(members.length > 1 ? [row("all", "", allShares(members), ["", "", ""])] : []),
  ]);
}

function allShares(members: readonly MemberShares[]): Record<Kind, number> {
  const sum = (kind: Kind) => members.reduce((sum, { total }) => sum + total[kind], 0);
  return sharesOf({ computing: sum("computing"), exchanging: sum("exchanging"), waiting: sum("waiting") });
}

/** What most of the time goes into, and who is waited for. */
function wordsOf(members: readonly MemberShares[]): string[] {
  const all = allShares(members);
  const most = (Object.keys(KINDS) as Kind[]).reduce((a, b) => all[b] > all[a] ? b : a);
  const [what, advice] = KINDS[most];
  const lines = [`Most of the members' time, ${shareText(all[most])}, goes into ${what}`, advice];
  const [first, ...others] = members;
  const waiting = others.reduce((sum, { shares }) => sum + shares.waiting, 0) / others.length;
  if (waiting - first.shares.waiting > TELLING) {
    lines.push(
      `${shortened(printableLine(first.name), NAME)} waits least, ${
        shareText(first.shares.waiting)
      } of its time; ` +
        `the others wait ${shareText(waiting)}: for it, as it seems.`,
    );
  }
  return lines;
}

// @ts-check
/// <reference lib="dom" />
/**
 * The focused run's members, slowest first, and those that were lost.
 *
 * @module
 */

import { el, fill, setText } from "./dom.js";
import { noReportText, range } from "./event_words.js";
import { ago, bytes, clock, percent, whole } from "./format.js";

/** @import { Run } from "./run.js" */
/** @import { MembersLine, MemberUsage, RecordedEvent } from "./types.ts" */

/** @typedef {{ name: string, reason: string, at: string }} Gone */

/** Rows until the others are asked for. */
const FIRST_ROWS = 30;
const MOST_GONE = 8;
const HEADINGS = ["member", "device", "range", "time", "compute", "wait", "up", "down", "memory", "heard"];
const PARTS = /** @type {const} */ (["computing", "exchanging", "waiting"]);

/** The table. */
export class Members {
  /** Whether all rows are wanted. */
  #all = false;
  /** Cells that count on: how long ago a message came, when the line came. @type {[Element, number][]} */
  #heard = [];
  /** @type {Run | undefined} */
  #run;

  /** @param {HTMLElement} host */
  constructor(host) {
    this.host = host;
  }

  /** @param {Run} run */
  draw(run) {
    if (run !== this.#run) this.#all = false;
    this.#run = run;
    this.#heard = [];
    const gone = goneMembers(run.events, run.members);
    const members = slowestFirst(run.members).filter(([name]) =>
      !gone.some((member) => member.name === name)
    );
    if (members.length + gone.length === 0) {
      return fill(this.host, el("p", { class: "empty" }, noReportText(run.item)));
    }
    const shown = this.#all ? members : members.slice(0, FIRST_ROWS);
    const more = members.length > shown.length &&
      el("button", { class: "more", onclick: () => this.#showAll() }, `Show all ${members.length} members`);
    const line = run.members;
    fill(
      this.host,
      line &&
        el(
          "p",
          { class: "as-of" },
          `${clock(line.at)}, step ${whole(line.step)}, the last ${Math.round(line.seconds)} s`,
        ),
      el(
        "table",
        {},
        el("thead", {}, el("tr", {}, HEADINGS.map((heading) => el("th", { scope: "col" }, heading)))),
        el(
          "tbody",
          {},
          shown.map(([name, usage]) => this.#row(name, usage, line?.seconds ?? 0)),
          gone.map(rowOfGone),
        ),
      ),
      more,
    );
    this.tick();
  }

  /** Writes how long ago each was heard of, as it is now. */
  tick() {
    const run = this.#run;
    const since = run?.item?.state === "running" ? (Date.now() - run.membersCame) / 1000 : 0;
    for (const [cell, seconds] of this.#heard) setText(cell, ago(seconds + since));
  }

  #showAll() {
    this.#all = true;
    if (this.#run) this.draw(this.#run);
  }

  /**
   * @param {string} name
   * @param {MemberUsage} usage
   * @param {number} seconds of the line
   */
  #row(name, usage, seconds) {
    const total = PARTS.reduce((sum, part) => sum + usage[part], 0) || 1;
    const parts = PARTS.map((part) =>
      el("i", { class: part, style: { width: `${100 * usage[part] / total}%` } })
    );
    const title = PARTS.map((part) => `${part} ${usage[part].toFixed(1)} s`).join(", ");
    const heard = el("td");
    this.#heard.push([heard, usage.heardAgo]);
    const perSecond = (/** @type {number} */ count) => seconds > 0 ? `${bytes(count / seconds)}/s` : "–";
    return el(
      "tr",
      { "data-member": name },
      el("th", { scope: "row" }, name),
      el("td", { class: "text" }, usage.device),
      el("td", {}, usage.range ? range(usage.range) : "none"),
      el(
        "td",
        { class: "parts" },
        el("span", { class: "stack", title, role: "img", "aria-label": title }, parts),
      ),
      el("td", {}, percent(usage.computing / total)),
      el("td", {}, percent(usage.waiting / total)),
      el("td", {}, perSecond(usage.bytesSent)),
      el("td", {}, perSecond(usage.bytesReceived)),
      el("td", {}, bytes(usage.memory)),
      heard,
    );
  }
}

/**
 * Members by how long a micro-batch takes them, the slowest first: all others wait for it.
 *
 * @param {MembersLine | null} line
 * @returns {[string, MemberUsage][]}
 */
export function slowestFirst(line) {
  const slowness = (/** @type {MemberUsage} */ { range, computing }) =>
    range ? computing / Math.max(1, range[1] - range[0]) : -1;
  return Object.entries(line?.members ?? {}).sort(([, a], [, b]) => slowness(b) - slowness(a));
}

/**
 * Members of whom the last that happened is that they were lost or left, the last one first.
 *
 * @param {RecordedEvent[]} events
 * @param {MembersLine | null} line a member that is in a later line is there again
 * @returns {Gone[]}
 */
export function goneMembers(events, line) {
  /** @type {Map<string, Gone>} */
  const gone = new Map();
  for (const event of events) {
    if (event.event === "joined" || event.event === "joining") gone.delete(event.member);
    if (event.event !== "lost" && event.event !== "left") continue;
    gone.delete(event.member);
    gone.set(event.member, {
      name: event.member,
      reason: event.event === "lost" ? `lost: ${event.reason}` : "left",
      at: event.at,
    });
  }
  const isBack = (/** @type {Gone} */ { name, at }) =>
    line && Object.hasOwn(line.members, name) && line.at > at;
  return [...gone.values()].filter((member) => !isBack(member)).reverse().slice(0, MOST_GONE);
}

/** @param {Gone} gone */
function rowOfGone({ name, reason, at }) {
  return el(
    "tr",
    { class: "gone", "data-member": name },
    el("th", { scope: "row" }, name),
    el(
      "td",
      { class: "text", colspan: HEADINGS.length - 1 },
      reason,
      el("time", { datetime: at }, clock(at)),
    ),
  );
}

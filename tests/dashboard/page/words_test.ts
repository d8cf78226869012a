import assert from "node:assert/strict";
import { severityOf, wordsOf } from "../../../src/dashboard/page/event_words.js";
import * as format from "../../../src/dashboard/page/format.js";
import { goneMembers, slowestFirst } from "../../../src/dashboard/page/members.js";
import { rangeOf, stepsOf } from "../../../src/dashboard/page/scales.js";
import type { RecordedEvent } from "../../../src/run/folder/events.ts";
import { usage } from "../support/written_run.ts";

const at = "2026-01-01T00:00:00.000Z";
const lost = { event: "lost", at, step: 5, member: "b", members: 1, reason: "silent" } as const;

Deno.test("numbers keep three digits, and their place", () => {
  assert.deepEqual([12345, 999.96, 804, 0.52, 0, null].map(format.short), [
    "12.3k",
    "1k",
    "804",
    "0.52",
    "0",
    "–",
  ]);
  assert.deepEqual([12000, 7.5, 0].map(format.steady), ["12.0k", "7.50", "0"]);
  assert.deepEqual([1.8234, 123.45, 0, 12345678, NaN].map(format.decimal), [
    "1.823",
    "123.5",
    "0.000",
    "1.23e+7",
    "–",
  ]);
  assert.deepEqual([1e-3, 2.5e-4, 0].map(format.rate), ["1e-3", "2.5e-4", "0"]);
  assert.deepEqual([512, 3.21e6].map(format.bytes), ["512 B", "3.21 MB"]);
});

Deno.test("times are read as a clock, and days as days", () => {
  assert.deepEqual([42, 63, 3800, 200_000].map(format.duration), ["0:42", "1:03", "1:03:20", "2 d 07 h"]);
  assert.deepEqual([0.2, 12, 200, 7200, 200_000].map(format.ago), ["now", "12 s", "3 min", "2 h", "2 d"]);
  assert.equal(format.clock("not a time"), "–");
});

Deno.test("every event has words, and trouble is told apart", () => {
  assert.equal(wordsOf(lost), "b lost: silent, 1 member left");
  assert.equal(severityOf(lost), "warning");
  const failed = { event: "ended", at, step: 5, outcome: "failed", error: "no space" } as const;
  assert.deepEqual([wordsOf(failed), severityOf(failed)], ["Failed: no space", "error"]);
  assert.equal(severityOf({ ...failed, outcome: "done" }), "info");
  const saved = {
    event: "saved",
    at,
    step: 5,
    member: "a",
    place: "/data/runs/x/checkpoints/step-5",
  } as const;
  assert.equal(wordsOf(saved), "Checkpoint of a saved: checkpoints/step-5");
  const later = { event: "ofALaterVersion", at, step: 1 } as unknown as RecordedEvent;
  assert.equal(wordsOf(later), "ofALaterVersion");
});

Deno.test("members are listed by the time of a micro-batch, and who has none comes last", () => {
  const { range: _, ...idle } = usage(0, [0, 1]);
  const members = { idle, quick: usage(4, [0, 8]), slow: usage(4, [8, 10]) };
  const names = slowestFirst({ at, step: 1, seconds: 10, members }).map(([name]) => name);
  assert.deepEqual(names, ["slow", "quick", "idle"]);
  assert.deepEqual(slowestFirst(null), []);
});

Deno.test("a member that was lost is gone until it joins again, or a later line has it", () => {
  const line = (at: string) => ({ at, step: 6, seconds: 10, members: { b: usage(5, [0, 1]) } });
  assert.deepEqual(goneMembers([lost], null), [{ name: "b", reason: "lost: silent", at }]);
  assert.equal(goneMembers([lost], line(at)).length, 1);
  assert.deepEqual(goneMembers([lost], line("2026-01-01T00:00:10.000Z")), []);
  assert.deepEqual(goneMembers([lost, { event: "joined", at, step: 6, member: "b", members: 2 }], null), []);
});

Deno.test("an axis holds what is visible, and its labels are round", () => {
  const columns = [{ xs: [1, 2, 3], values: [100, 2, null] }];
  const [low, high] = rangeOf(columns, { min: 2, max: 3 }, false, true);
  assert.ok(low === 0 && high > 2 && high < 3);
  assert.deepEqual(rangeOf([], { min: 0, max: 1 }, true, false), [1, 10]);
  const [, top] = rangeOf(columns, { min: 1, max: 3 }, true, false);
  assert.ok(top > 100 && top < 150);
  assert.deepEqual(stepsOf(0, 1, false), [0, 0.2, 0.4, 0.6, 0.8, 1]);
  assert.deepEqual(stepsOf(1.4, 6.1, true), [2, 3, 4, 5, 6]);
  assert.deepEqual(stepsOf(0.5, 3000, true), [1, 10, 100, 1000]);
  assert.deepEqual(stepsOf(0.09, 1.5, true), [0.1, 0.2, 0.5, 1]);
});

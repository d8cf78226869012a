/** The schemas of what a run's folder tells, and what a reader makes of lines that it does not know. @module */

import assert from "node:assert/strict";
import { stringifyJson } from "../../../src/json.ts";
import { recordedEventSchema, type RunHappening } from "../../../src/run/folder/events.ts";
import { EventsFile } from "../../../src/run/folder/events_file.ts";
import { type MembersLine, membersLineSchema } from "../../../src/run/folder/members.ts";
import { textOf } from "../../../src/run/folder/happenings.ts";

const at = "2026-11-28T07:00:00.000Z";

/** One of each kind, with everything that it may say. */
const EACH: { [Kind in RunHappening["event"]]: Required<RunHappening & { event: Kind }> } = {
  started: {
    event: "started",
    step: 0,
    card: {
      folder: "runs/a",
      run: "a",
      model: { parameters: 7, bytes: 28, flopsPerToken: 42.5 },
      text: { source: "book.txt", training: 900, validation: 100, epochs: 1.5 },
      batch: { tokens: 64, microBatches: 4 },
      machine: { workers: 4, device: "cpu", threads: 1, memory: 1e9 },
    },
  },
  resumed: { event: "resumed", step: 4 },
  failover: { event: "failover", step: 4, term: 2, members: ["a", "b"] },
  joined: { event: "joined", step: 4, member: "c", isNear: true, members: 3 },
  joining: { event: "joining", step: 4, member: "c", donor: "a" },
  left: { event: "left", step: 4, member: "c", members: 2 },
  lost: { event: "lost", step: 4, member: "c", members: 2, reason: "silence" },
  refused: { event: "refused", step: 4, member: "d", reasons: ["numerics", "corpus"] },
  skipped: { event: "skipped", step: 4, reason: "a loss is not finite" },
  evaluated: { event: "evaluated", step: 4, valLoss: 1.5 },
  sample: { event: "sample", step: 4, member: "a", prompt: "The ", text: "NaN" },
  saved: { event: "saved", step: 4, member: "a", place: "/there", elsewhere: true },
  unsaved: { event: "unsaved", step: 4, error: "no space" },
  reducerJoined: { event: "reducerJoined", step: 4, reducer: "r", reducers: 1 },
  reducerLeft: { event: "reducerLeft", step: 4, reducer: "r", reducers: 0, reason: "silence" },
  residualsDropped: { event: "residualsDropped", step: 4, holder: "a", reason: "it left" },
  dropped: { event: "dropped", step: 4, member: "c", steps: [5, 24], microBatches: [2, 4] },
  warning: { event: "warning", step: 4, text: "no JetStream" },
  ended: { event: "ended", step: 4, outcome: "failed", error: "all are lost" },
};

Deno.test("the schema of events keeps everything that their types have, and wants the time", () => {
  for (const happening of Object.values(EACH)) {
    const event = { at, ...happening };
    assert.deepEqual(recordedEventSchema.parse(JSON.parse(stringifyJson(event))), event);
    assert.ok(!recordedEventSchema.safeParse(happening).success, `${happening.event} without a time`);
    assert.ok(!recordedEventSchema.safeParse({ ...event, step: -1 }).success, happening.event);
  }
});

Deno.test("a loss that is no number is one again when it is read", () => {
  for (const valLoss of [NaN, Infinity, -Infinity]) {
    const event = { at, event: "evaluated", step: 1, valLoss } as const;
    assert.deepEqual(recordedEventSchema.parse(JSON.parse(stringifyJson(event))), event);
  }
});

Deno.test("the schema of how members spend their time keeps everything", () => {
  const usage = { device: "cpu", computing: 6, exchanging: 2.5, waiting: 1.5, heardAgo: 0.3 };
  const counts = { bytesSent: 7, bytesReceived: 8, memory: 9 };
  const line: MembersLine = {
    ...{ at, step: 3, seconds: 10 },
    members: { a: { ...usage, ...counts, range: [0, 2] }, b: { ...usage, ...counts } },
  };
  assert.deepEqual(membersLineSchema.parse(JSON.parse(JSON.stringify(line))), line);
});

Deno.test("what a person has to know of an event is a line, and what they see elsewhere is none", () => {
  const told = Object.values(EACH).filter((happening) => textOf(happening) !== undefined);
  const silent = Object.keys(EACH).filter((kind) => !told.some(({ event }) => event === kind));
  assert.deepEqual(silent, ["started", "resumed", "evaluated", "ended"]);
  const sample = {
    event: "sample",
    step: 4,
    member: "a",
    prompt: `${"x".repeat(50)}\n1`,
    text: "\u001b[2J \n end",
  } as const;
  assert.equal(textOf(sample), `step 4: ${"x".repeat(38)} 1 | \\u001b[2J end`, "one line, escaped");
  assert.equal(textOf(EACH.lost), "c left (silence), members: 2");
  assert.equal(textOf(EACH.left), "c left, members: 2");
  assert.equal(
    textOf(EACH.dropped),
    "the round of steps 5 to 24 continues without c: micro-batches 2 to 3 of each are dropped",
  );
  assert.equal(textOf({ event: "saved", step: 4, member: "a", place: "here" }), undefined);
});

Deno.test("the newest save counts that no resume has undone, whatever else a later version writes between", async () => {
  const path = await Deno.makeTempFile({ prefix: "flashmob-test-" });
  const file = new EventsFile(path);
  const save = (step: number) => file.add({ at, event: "saved", step, member: "a", place: `${step}` });
  try {
    assert.equal(file.lastSave(), undefined);
    save(2);
    save(4);
    for (const line of ['{"event":"saved","step"', '{"event":"moved","step":9}', "null", ""]) {
      Deno.writeTextFileSync(path, line + "\n", { append: true });
    }
    for (const happening of Object.values(EACH)) {
      if (happening.event !== "saved" && happening.event !== "resumed") file.add({ at, ...happening });
    }
    assert.equal(file.lastSave()?.step, 4);
    file.add({ at, event: "resumed", step: 3 });
    assert.equal(file.lastSave()?.step, 2);
    save(3);
    assert.equal(file.lastSave()?.place, "3");
  } finally {
    await Deno.remove(path);
  }
});

/** What a run's folder tells of what happened: every line by its schema, in runs with trouble and without. @module */

import assert from "node:assert/strict";
import { train } from "../../mod.ts";
import { startNatsServer } from "../../src/dist/nats/server.ts";
import { type RecordedEvent, recordedEventSchema } from "../../src/run/folder/events.ts";
import { type MembersLine, membersLineSchema } from "../../src/run/folder/members.ts";
import { runFlash } from "./support/flash_runs.ts";
import { metricsOf, recordOf, Workplace } from "./support/runs.ts";

const linesIn = (folder: string, name: string): unknown[] =>
  Deno.readTextFileSync(`${folder}/${name}`).trimEnd().split("\n").map((line) => JSON.parse(line));

/** The events of a run, each by the schema. */
const eventsOf = (folder: string): RecordedEvent[] =>
  linesIn(folder, "events.jsonl").map((line) => recordedEventSchema.parse(line));

const membersOf = (folder: string): MembersLine[] =>
  linesIn(folder, "members.jsonl").map((line) => membersLineSchema.parse(line));

/** What happened, and after which step. */
const told = (events: readonly RecordedEvent[]) => events.map(({ event, step }) => `${event} ${step}`);

Deno.test("a run that loses a worker has each of its events, by the schema and in the order of time", async () => {
  await using place = await Workplace.open();
  await using server = await startNatsServer();
  const backend = "cpu";
  const input = place.config("run", {
    train: { steps: 8, batch: 6 },
    eval: { every: 4 },
    checkpoint: { every: 4 },
    dist: { heartbeatSeconds: 0.2 },
    machine: { run: "run", backend },
  });
  const fault = { point: "before-upload", way: "SIGKILL", step: 3 } as const;
  const members = [{ member: "a", backend }, { member: "b", backend }, {
    member: "dead",
    backend,
    fault,
  }] as const;
  await runFlash(server.url, input, members);

  const folder = place.run("run");
  const events = eventsOf(folder);
  const one = <Kind extends RecordedEvent["event"]>(kind: Kind) =>
    events.filter((event): event is RecordedEvent & { event: Kind } => event.event === kind);
  assert.deepEqual(one("joined").map(({ member }) => member).sort(), ["a", "b", "dead"]);
  const [lost, ...others] = one("lost");
  assert.deepEqual([lost.member, lost.members, lost.step, others.length], ["dead", 2, 2, 0]);
  assert.match(lost.reason, /./);
  assert.deepEqual(one("evaluated").map(({ step }) => step), [4, 8]);
  assert.deepEqual(
    one("evaluated").map(({ valLoss }) => valLoss),
    metricsOf(folder).evaluations.map(({ valLoss }) => valLoss),
  );
  assert.deepEqual(one("saved").map(({ step }) => step), [4, 8]);
  assert.ok(one("saved").every(({ member, place }) => /^[ab]$/.test(member) && place.startsWith(folder)));
  assert.deepEqual(told(events).at(-1), "ended 8");
  assert.equal(one("ended")[0].outcome, "done");
  const times = events.map(({ at }) => Date.parse(at));
  assert.deepEqual(times, times.toSorted((one, other) => one - other));

  assert.deepEqual(recordOf(folder).map(({ lost }) => lost), [
    undefined,
    undefined,
    ["dead"],
    ...Array(5).fill(undefined),
  ]);
  const last = membersOf(folder).at(-1)!;
  assert.deepEqual([last.step, Object.keys(last.members).sort()], [8, ["a", "b"]]);
  for (const { computing, exchanging, waiting, memory, device } of Object.values(last.members)) {
    assert.ok(
      Math.abs(computing + exchanging + waiting - last.seconds) < 2 + 0.2 * last.seconds,
      JSON.stringify(last),
    );
    assert.ok(computing > 0 && memory > 1e6 && device === "cpu", JSON.stringify(last));
  }
});

Deno.test("a run in one process that is stopped, resumed and fails says so, and each line has its time", async () => {
  await using place = await Workplace.open();
  const config = place.config("run", { train: { steps: 5 }, machine: { backend: "cpu" } });
  const stop = new AbortController();
  const onStep = ({ step }: { step: number }) => step === 2 && stop.abort();
  await train(config, { signal: stop.signal, onStep });
  await train(config, { resume: true });
  const bad = { ...config, train: { steps: 50, maxSkips: 2 }, optimizer: { learningRate: 1e30 } };
  await assert.rejects(train(bad, { resume: true }), /2 steps in a row were skipped/);

  const events = eventsOf(place.run("run"));
  assert.deepEqual(told(events.filter(({ event }) => event !== "started")), [
    ...["saved 2", "ended 2"],
    ...["resumed 2", "evaluated 3", "evaluated 5", "saved 5", "ended 5"],
    ...["resumed 5", "evaluated 6", "warning 6", "skipped 7", "skipped 8", "ended 8"],
  ]);
  const endings = events.flatMap((event) => event.event === "ended" ? event : []);
  assert.deepEqual(endings.map(({ outcome }) => outcome), ["stopped", "done", "failed"]);
  assert.match(endings[2].error!, /2 steps in a row were skipped/);
  const { steps } = metricsOf(place.run("run"));
  assert.deepEqual(recordOf(place.run("run")).map(({ step }) => step), steps.map(({ step }) => step));
  assert.ok(steps.every(({ at }) => Math.abs(Date.now() - Date.parse(at)) < 300_000));
  assert.ok(membersOf(place.run("run")).every(({ members }) => members.single.computing > 0));
});

Deno.test("a run that is stopped while it starts has ended by that", async () => {
  await using place = await Workplace.open();
  const config = place.config("run", { machine: { workers: 1, backend: "cpu" } });
  const stop = new AbortController();
  const run = train(config, {
    signal: stop.signal,
    onEvent: (event) => event.kind === "happened" || stop.abort(),
  });
  await run.catch(() => {});
  const last = eventsOf(place.run("run")).at(-1)!;
  assert.ok(last.event === "ended" && last.outcome === "stopped", JSON.stringify(last));
});

/** TensorFlow and tfjs's plain JavaScript in one run. @module */

import assert from "node:assert/strict";
import { startNatsServer } from "../../src/dist/nats/server.ts";
import { recordedEventSchema } from "../../src/run/folder/events.ts";
import { runFlash, type WorkerChanges } from "./support/flash_runs.ts";
import { metricsOf, recordOf, Workplace } from "./support/runs.ts";

const members: WorkerChanges[] = [
  { member: "tensorflow" },
  { member: "javascript", backend: "cpu" },
];

Deno.test("with dist.mixed unlike workers train together, end with equal states, and the log says so", async () => {
  await using place = await Workplace.open();
  await using server = await startNatsServer();
  const config = place.config("mixed", {
    dist: { mixed: true, hashEvery: 1 }, // all states are compared after every step
    machine: { run: "mixed" },
  });
  const { summary, lines } = await runFlash(server.url, config, members);
  assert.match(summary.paramsHash, /^[0-9a-f]{64}$/);
  const { steps } = metricsOf(place.run("mixed"));
  assert.equal(steps.length, 6);
  const record = recordOf(place.run("mixed"));
  for (const { computed } of record) {
    assert.deepEqual(Object.values(computed).flat().sort(), [0, 1, 2, 3, 4, 5]);
  }
  assert.deepEqual(Object.keys(record[0].computed).sort(), ["javascript", "tensorflow"]);
  assert.ok(steps.at(-1)!.loss < steps[0].loss, "it learns");
  assert.deepEqual(lines.filter((line) => line.includes(" left (")), []);
  const said = lines.filter((line) => line.includes("dist.mixed is true"));
  assert.equal(said.length, 1);
  assert.match(said[0], /computes with flashmob .*, the run with flashmob .*: admitted/);
});

Deno.test("without dist.mixed a worker with other numerics is rejected, with the field that differs", async () => {
  await using place = await Workplace.open();
  await using server = await startNatsServer();
  const stop = new AbortController();
  const config = place.config("strict", { machine: { run: "strict" } });
  const { lines } = await runFlash(server.url, config, members, (event) => {
    if (event.kind === "happened" && event.event.event === "refused") stop.abort();
  }, stop.signal);
  const rejected = lines.find((line) => line.includes("was rejected"));
  assert.match(rejected!, /was rejected: numerics: the run has flashmob .*, you have flashmob /);
  const events = Deno.readTextFileSync(`${place.run("strict")}/events.jsonl`).trim().split("\n")
    .map((line) => recordedEventSchema.parse(JSON.parse(line)));
  const refused = events.find(({ event }) => event === "refused");
  assert.ok(refused?.event === "refused" && rejected!.endsWith(refused.reasons.join("; ")));
  const last = events.at(-1)!;
  assert.ok(last.event === "ended" && last.outcome === "stopped");
});

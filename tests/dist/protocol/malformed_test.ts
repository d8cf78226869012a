/**
 * Malformed and untrue messages from the network don't end a process, block a step or change the result.
 *
 * @module
 */

import assert from "node:assert/strict";
import { decodeFrame, type Kind, KINDS as FRAME_KINDS } from "../../../src/dist/protocol/frames.ts";
import { TextRequests } from "../../../src/dist/transfer/text_transfer.ts";
import { sha256 } from "../../../src/hashing.ts";
import { fetchRun, reportEnded } from "../../../src/dist/worker/join.ts";
import { decodeMessage } from "../../../src/dist/protocol/messages.ts";
import type { CoordinationPlan } from "../../../src/dist/replica/plan.ts";
import type { Replica } from "../../../src/dist/replica/replica.ts";
import { runSingle } from "../../../src/dist/single.ts";
import { runWorker } from "../../../src/dist/worker.ts";
import { averagingToy, DILOCO } from "../support/average_toys.ts";
import { ElasticRun } from "../support/elastic_toys.ts";
import { fairWeather, MemoryBus, type Weather } from "../support/memory_bus.ts";
import { implausible, malformed } from "../support/mutants.ts";
import { RUN_ID, toyPlan, ToyReplica } from "../support/toy.ts";

/** Kinds that are answers only: a wrong one replaces the right one, which has to be requested again. */
const ANSWERS: Kind[] = ["run", "welcome", "refuse", "manifest", "piece", "contents"];
/** Wrong messages before each genuine one. */
const MOST = 80;

/** A hostile bus: before each message it delivers all wrong ones that can be made of it and were not sent yet. */
class Company {
  readonly seen = new Set<string>();
  /** A genuine message of each kind that there were wrong ones of. */
  readonly genuine = new Map<Kind, Uint8Array>();

  /** @param everyAnswer sends only every n-th of the wrong answers, since each costs a request */
  constructor(readonly everyAnswer: number) {}

  readonly weather: Weather = (data) => {
    const frame = decodeFrame(data, "toy");
    if ("refused" in frame) return fairWeather(data);
    const all = [...malformed(data, "toy"), ...implausible(data, "toy")];
    const isAnswer = ANSWERS.includes(frame.kind);
    const some = all.filter(({ name }, i) =>
      !this.seen.has(name) && (!isAnswer || i % this.everyAnswer === 0)
    );
    const mutants = some.slice(0, isAnswer ? 1 : MOST);
    for (const { name } of mutants) this.seen.add(name);
    if (mutants.length > 0) this.genuine.set(frame.kind, data.slice());
    return [...mutants.map(({ data }) => data), data].map((data) => ({ data, delay: 0 }));
  };
}

const plan = toyPlan({
  steps: 12,
  evaluation: { every: 4, microBatches: 5, prompts: ["a", "b"] },
  saveEvery: 4,
  hashEvery: 4,
  partBytes: 256 * 1024,
  startWorkers: 2,
  heartbeatSeconds: 0.05,
  patienceSeconds: 20,
  silenceSeconds: 30,
});

/** No member was lost, which would happen where a message keeps others waiting for longer than the patience. */
function assertNobodyLost({ events }: ElasticRun): void {
  const troubles = ["left", "reducerLeft", "unsaved", "momentsUnsaved", "dropped"];
  assert.deepEqual(events.filter((event) => troubles.includes(event.kind) && "error" in event), []);
}

/** Every malformed message is distinguished from genuine ones on receipt. */
function assertNothingPasses({ genuine }: Company): void {
  for (const data of genuine.values()) {
    assert.ok("message" in decodeMessage(data, "toy"));
    for (const { name, data: wrong } of malformed(data, "toy")) {
      assert.deepEqual(decodeMessage(wrong, "toy"), { refused: "malformed" }, name);
    }
  }
}

/** A worker with another configuration is rejected with the right reason. */
async function assertRefused(run: ElasticRun, replica: Replica): Promise<void> {
  const options = { run: "toy", id: RUN_ID, member: "d", configHash: "e".repeat(64), atHome: false };
  await assert.rejects(runWorker(run.bus.connect(), replica, options), /hash of the run's configuration/);
}

/** A text that the coordinator sends to workers. */
const TEXT = Uint8Array.from({ length: 100 }, (_, i) => i);
const TEXT_HASH = await sha256([TEXT]);

/** All kinds of frames with a message; in a run of local steps no member joins late, and the coordinator reduces. */
const KINDS = (Object.keys(FRAME_KINDS) as Kind[]).filter((kind) =>
  !["hello", "alive", "out", "text", "extract"].includes(kind)
);
const LATE: Kind[] = [
  "run",
  "refuse",
  "pin",
  "pinned",
  "takeover",
  "restored",
  "inspect",
  "manifest",
  "fetch",
  "piece",
  "text",
  "contents",
  "extract",
  "ended",
];
const REDUCERS: Kind[] = ["reducer", "reduce", "reduced"];

Deno.test("malformed and untrue messages to coordinator, workers, reducers, donor and newcomer do not change the run", async () => {
  const company = new Company(9);
  using bus = new MemoryBus(company.weather, 2 * 1024 * 1024);
  const text = { pieces: [TEXT.subarray(0, 90), TEXT.subarray(90)], files: [60, 39], sha256: TEXT_HASH };
  const run = new ElasticRun(bus, plan, { text });
  const toy = (seed = 1) => new ToyReplica({ ...run.patient, seed, size: 70_000 }); // two parts
  const reducers = await run.startReducers(2);
  const replicas = [toy(), toy(), toy(9)];
  const workers = [await run.start("a", replicas[0])];
  await assertRefused(run, toy());
  assert.deepEqual((await fetchRun(bus.connect(), "toy", "e")).config, plan.config);
  const requests = new TextRequests(bus.connect(), { run: "toy", member: "e" });
  assert.deepEqual(await requests.bytes(await requests.contents(), () => {}), TEXT);
  await reportEnded(bus.connect(), { run: "toy", member: "a", nonce: "an-earlier-process" });
  workers.push(await run.start("b", replicas[1], { atHome: false }));
  await run.step(2);
  workers.push(await run.start("c", replicas[2], { atHome: false }));
  await run.joined("c");
  const { paramsHash, dropped } = await run.outcome;
  assert.deepEqual(await Promise.all(workers.map(({ done }) => done)), [undefined, undefined, undefined]);
  await Promise.all(reducers);
  assertNobodyLost(run);
  assert.equal(paramsHash, (await runSingle(new ToyReplica({ size: 70_000 }), plan)).paramsHash);
  assert.deepEqual(KINDS.filter((kind) => !company.genuine.has(kind)), []);
  assert.ok(company.seen.size > 1000 && dropped.malformed > 500 && dropped["malformed orders"] > 300);
  assertNothingPasses(company);
});

Deno.test("malformed and untrue messages do not change a run of local steps", async () => {
  const rounds: CoordinationPlan = {
    ...plan,
    diloco: { localSteps: 2, warmupSteps: 2, outer: DILOCO },
  };
  const train = async (weather: Weather) => {
    using bus = new MemoryBus(weather, 2 * 1024 * 1024);
    const run = new ElasticRun(bus, rounds);
    const workers = [await run.start("a", averagingToy()), await run.start("b", averagingToy())];
    const { paramsHash } = await run.outcome;
    assert.deepEqual(await Promise.all(workers.map(({ done }) => done)), [undefined, undefined]);
    assertNobodyLost(run);
    return paramsHash;
  };
  const company = new Company(9);
  assert.equal(await train(company.weather), await train(fairWeather));
  const wanted = KINDS.filter((kind) => !LATE.includes(kind) && !REDUCERS.includes(kind));
  assert.deepEqual(wanted.filter((kind) => !company.genuine.has(kind)), []);
  assertNothingPasses(company);
});

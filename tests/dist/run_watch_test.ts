/** A run of toys that hangs fails its test, instead of the whole suite. @module */

import assert from "node:assert/strict";
import { decodeFrame } from "../../src/dist/protocol/frames.ts";
import { LateError } from "./support/bounded.ts";
import { ElasticRun } from "./support/elastic_toys.ts";
import { fairWeather, MemoryBus, type Weather } from "./support/memory_bus.ts";
import { toyPlan, ToyReplica } from "./support/toy.ts";

/** Acknowledgements are lost, all of them: no step can be committed. */
const withoutAcks: Weather = (data) => {
  const frame = decodeFrame(data, "toy");
  return !("refused" in frame) && frame.kind === "ack" ? [] : fairWeather(data);
};

Deno.test("a run whose acknowledgements are all lost fails after its deadline, says what was sent, and is gone", async () => {
  using bus = new MemoryBus(withoutAcks);
  const run = new ElasticRun(bus, toyPlan({ startWorkers: 2, heartbeatSeconds: 0.05 }), {}, 1);
  const workers = [await run.start("a", new ToyReplica()), await run.start("b", new ToyReplica())];
  await assert.rejects(run.outcome, (error: Error) => {
    assert.ok(error instanceof LateError);
    assert.match(error.message, /^waited 1 s in vain for the end of the run/);
    assert.match(error.message, /"kind":"joined"/);
    assert.match(error.message, /"what":"coordinator: mean","count":\d+,"step":1/);
    assert.match(error.message, /"what":"a: ack","count":\d+,"step":1/);
    assert.doesNotMatch(error.message, /commit/);
    return true;
  });
  await Promise.allSettled(workers.map(({ done }) => done));
});

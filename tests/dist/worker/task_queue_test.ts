/** Orders between steps that come again, and late. @module */

import assert from "node:assert/strict";
import { isDuty } from "../../../src/dist/worker/duties.ts";
import { decodeMessage } from "../../../src/dist/protocol/messages.ts";
import { MemoryBus } from "../support/memory_bus.ts";
import { runToys } from "../support/run_toys.ts";
import { RUN_ID, toyPlan, ToyReplica, UNHURRIED } from "../support/toy.ts";
import { TaskQueue } from "../../../src/dist/worker/task_queue.ts";

const task = (name: string) => (answer: (frame: Uint8Array) => void) => {
  answer(new TextEncoder().encode(name));
  return Promise.resolve();
};

Deno.test("a queue repeats the answers of every task until they are forgotten, and of none that was not done", async () => {
  const sent: string[] = [], failed: unknown[] = [];
  const queue = new TaskQueue(
    (answer) => sent.push(new TextDecoder().decode(answer)),
    (error) => failed.push(error),
    () => {},
  );
  for (const name of ["evaluate", "save"]) {
    queue.start(name, task(name));
    assert.ok(!queue.repeat(name), "it has not ended");
    await queue.idle();
  }
  queue.start("pin", () => Promise.reject(new Error("no memory")));
  await queue.idle();
  assert.deepEqual(["evaluate", "save", "pin"].map((key) => queue.repeat(key)), [true, true, false]);
  assert.deepEqual(sent, ["evaluate", "save", "evaluate", "save"]);
  assert.equal(failed.length, 1);
  queue.forget();
  assert.ok(!queue.repeat("save"));
});

/** Counts what it is asked to do. */
class Counting extends ToyReplica {
  readonly done: string[] = [];

  override evaluate(microBatch: number): ReturnType<ToyReplica["evaluate"]> {
    this.done.push(`evaluate ${this.step}`);
    return super.evaluate(microBatch);
  }

  override hashes(): ReturnType<ToyReplica["hashes"]> {
    this.done.push(`hash ${this.step}`);
    return super.hashes();
  }
}

Deno.test("orders between steps that come again before each later one are carried out once, but the last comparison is another one", async () => {
  const orders: { step: number; subject: string; data: Uint8Array }[] = [];
  using bus = new MemoryBus((data, subject) => {
    const message = decodeMessage(data, "toy");
    if ("refused" in message || !isDuty(message)) return [{ data, delay: 0 }];
    const again = orders.filter((order) => order.step === message.step && order.subject === subject);
    orders.push({ step: message.step, subject, data: data.slice() });
    return [...again, { data }].map(({ data }) => ({ data, delay: 0 }));
  });
  const replicas = [new Counting(), new Counting()];
  const evaluation = { every: 1, microBatches: 2, prompts: ["a", "b"] };
  const plan = toyPlan({ ...UNHURRIED, id: RUN_ID, steps: 2, saveEvery: 1, evaluation, startWorkers: 2 });
  const { events } = await runToys(() => bus.connect(), replicas, plan);
  for (const { done } of replicas) {
    assert.deepEqual(done, ["hash 0", "evaluate 1", "hash 1", "evaluate 2", "hash 2", "hash 2"]);
  }
  assert.deepEqual(replicas.map(({ saves }) => saves), [[1, 2], []]);
  assert.equal(events.filter(({ kind }) => kind === "sample").length, 4);
});

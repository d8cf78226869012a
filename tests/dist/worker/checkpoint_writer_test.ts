import assert from "node:assert/strict";
import { CheckpointWriter } from "../../../src/dist/worker/checkpoint_writer.ts";
import { ToyReplica } from "../support/toy.ts";

Deno.test("an order to save that comes again, after another task, is carried out once; another one is carried out", async () => {
  const replica = new ToyReplica();
  const told: number[] = [];
  const writer = new CheckpointWriter(replica, {
    member: "a",
    atHome: true,
    pin: () => replica.state(),
    pinned: () => undefined,
    tell: (step) => told.push(step),
    onKept: () => {},
  });
  const order = { writer: "a", copying: ["a", "b"], members: ["a", "b"], appliedStep: 0 };
  for (const key of ["save 0 1 1", "save 0 1 1", "save 0 2 1"]) {
    await writer.begin(order, key);
    await writer.idle();
  }
  assert.deepEqual(replica.saves, [0, 0]);
  assert.deepEqual(told, [0, 0]);
});

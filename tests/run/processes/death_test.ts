/** @module */

import assert from "node:assert/strict";
import { startNatsServer } from "../../../src/dist/nats/server.ts";
import { connectNats } from "../../../src/dist/nats/transport.ts";
import { encodeFrame } from "../../../src/dist/protocol/frames.ts";
import { decodeMessage, type Received } from "../../../src/dist/protocol/messages.ts";
import { subjects } from "../../../src/dist/protocol/transport.ts";
import { reducerName } from "../../../src/run/participants/reducer.ts";
import { reportDeath, withNonce } from "../../../src/run/processes/death.ts";
import type { ChildOrder } from "../../../src/run/processes/protocol.ts";

Deno.test("a launcher says in a child's name that it has ended, with the nonce that only this process had", async () => {
  await using server = await startNatsServer();
  const coordinator = await connectNats(server.url, "coordinator");
  const told: Received[] = [];
  coordinator.subscribe(subjects.from("demo", "*"), ({ subject, data, respond }) => {
    const frame = decodeMessage(data, "demo");
    assert.ok(!("refused" in frame) && subject === subjects.from("demo", frame.sender));
    told.push(frame);
    respond?.(encodeFrame({ kind: "alive", run: "demo", sender: "coordinator" }));
  });
  await coordinator.flush();
  const common = { url: server.url, run: "demo" };
  const orders: ChildOrder[] = [
    { role: "worker", options: { ...common, member: "here-0" } },
    { role: "reducer", options: { ...common, machine: "here" } },
  ];
  const [worker, reducer] = orders.map(withNonce);
  for (const order of [worker, reducer]) await reportDeath(order);
  assert.ok(worker.role === "worker" && reducer.role === "reducer");
  assert.deepEqual(told.map(({ kind, sender }) => [kind, sender]), [
    ["ended", "here-0"],
    ["ended", reducerName("here", reducer.options.nonce!)],
  ]);
  const [first] = told;
  assert.ok(first.kind === "ended" && first.message.nonce === worker.options.nonce);
  assert.notEqual(first.message.nonce, reducer.options.nonce);
  await coordinator.close();
});

Deno.test("a launcher whose server or coordinator is gone, too, gives up saying so", async () => {
  const order = withNonce({
    role: "worker",
    options: { url: "nats://127.0.0.1:1", run: "demo", member: "a" },
  });
  await reportDeath(order);
});

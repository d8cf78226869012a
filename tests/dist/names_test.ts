/** Names of processes: they are keys of records, and the coordinator's is reserved. @module */

import assert from "node:assert/strict";
import { crc32 } from "node:zlib";
import type { Kind } from "../../src/dist/protocol/frames.ts";
import { encodeControl } from "../../src/dist/protocol/messages.ts";
import { subjects, type Transport } from "../../src/dist/protocol/transport.ts";
import { ElasticRun, pause } from "./support/elastic_toys.ts";
import { MemoryBus } from "./support/memory_bus.ts";
import { CONFIG_HASH, RUN_ID, toyIdentity, toyPlan, ToyReplica } from "./support/toy.ts";

/** Says a frame under another name, as only another program can. */
function sayAs(end: Transport, name: string, kind: Kind & ("join" | "reducer")): void {
  const stand = "x".repeat(name.length);
  const fields = { run: "toy", sender: stand };
  const bytes = kind === "reducer"
    ? encodeControl({ ...fields, kind }, { blockedSeconds: {}, malformedOrders: 0 })
    : encodeControl({ ...fields, kind: "join" }, {
      nonce: name,
      id: RUN_ID,
      identity: toyIdentity(1000),
      configHash: CONFIG_HASH,
      stateHash: "5".repeat(64),
      atHome: true,
      device: "cpu",
    });
  bytes.set(new TextEncoder().encode(name), 60 + "toy".length);
  new DataView(bytes.buffer).setUint32(4, crc32(bytes.subarray(8)), true);
  end.publish(subjects.from("toy", name), bytes);
}

Deno.test("a process named like the coordinator, or like a property of every object, is ignored; the run continues", async () => {
  using bus = new MemoryBus();
  const run = new ElasticRun(bus, toyPlan({ startWorkers: 1, steps: 6 }));
  const worker = await run.start("w", new ToyReplica({ beforeGradient: () => pause(2) }));
  const names = ["coordinator", "constructor", "__proto__", "toString", "hasOwnProperty"];
  await run.step(1);
  for (const name of names) {
    sayAs(bus.connect(), name, "join");
    sayAs(bus.connect(), name, "reducer");
  }
  const { dropped } = await run.outcome;
  assert.equal(await worker.done, undefined);
  assert.equal(dropped.foreign, 2 * names.length);
  assert.deepEqual(run.events.flatMap((event) => event.kind === "joined" ? event.member : []), ["w"]);
  assert.ok(!run.events.some(({ kind }) => kind === "reducerJoined"));
});

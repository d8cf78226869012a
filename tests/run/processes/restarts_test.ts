/** @module */

import assert from "node:assert/strict";
import { Restarts } from "../../../src/run/processes/restarts.ts";

Deno.test("a process that crashes is restarted three times in a row, ever more slowly; after a stable time the count starts again", () => {
  const restarts = new Restarts();
  const crash = (lived: number) => restarts.after("crash", lived);
  assert.deepEqual([crash(10), crash(10), crash(59_999)], [2500, 5000, 10_000]);
  assert.deepEqual([crash(60_000), crash(10), crash(10)], [2500, 5000, 10_000]);
  assert.equal(crash(10), undefined);
  assert.equal(restarts.failures, 4);
});

Deno.test("after a transient failure it is restarted more often, and that counts as no crash", () => {
  const restarts = new Restarts();
  assert.equal(restarts.after("crash", 10), 2500);
  const tries = Array.from({ length: 21 }, () => restarts.after("transient", 10));
  assert.deepEqual(tries, [...Array(20).fill(2500), undefined]);
  assert.equal(restarts.after("crash", 10), 5000);
  assert.equal(restarts.after("transient", 10), 2500);
});

Deno.test("after a permanent error it is not restarted", () => {
  assert.equal(new Restarts().after("permanent", 100_000), undefined);
});

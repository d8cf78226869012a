import assert from "node:assert/strict";
import { start } from "../run/support/commands.ts";

Deno.test("bench:faults kills workers: their work is given away at once, no step is lost, the result is the same", async () => {
  const { code, stdout, stderr } = await start("bench:faults", "--minutes=0.35", "--every=5", "--json").ended;
  assert.equal(code, 0, stderr);
  const { kills, longestSeconds, throughput, isSame } = JSON.parse(stdout);
  assert.ok(kills.length >= 3, stdout);
  assert.ok(isSame && throughput > 0);
  assert.ok(longestSeconds < 5, `${longestSeconds} s: as long as without the word of launcher and server`);
});

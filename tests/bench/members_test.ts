/** @module */

import assert from "node:assert/strict";
import { BLOCK } from "../../src/dist/vectors/sums.ts";
import { runCrowd } from "../dist/support/crowd.ts";

Deno.test("a coordinator's steps with synthetic members end, also where one of them is always the last", async () => {
  const common = { members: 8, parts: 6, windowBytes: 8 * BLOCK, warmUp: 1, steps: 3 };
  for (const straggles of [false, true]) {
    let looks = 0;
    assert.ok(await runCrowd({ ...common, straggles, look: () => looks++ }) > 0);
    assert.ok(looks > 0);
  }
});

/** The NATS server is away for some seconds here, for minutes in the soak (tests/soak/). @module */

import assert from "node:assert/strict";
import { trainThroughAbsence } from "./support/absence.ts";

/** A window of 16 MB, two vectors of 24 MB that the open step may still bring, and what V8 keeps of freed ones. */
const BUDGET = 100e6;

for (const [absence, seconds] of [["ended", 7], ["frozen", 4]] as const) {
  Deno.test(`while the NATS server is ${absence} for some seconds, memory stays in its budget; then the step continues`, async () => {
    const { isExact, lost, growth, stepsAfter } = await trainThroughAbsence(absence, seconds);
    assert.ok(isExact);
    if (absence === "ended") assert.deepEqual(lost, []); // a frozen one can't be told from frozen workers
    assert.equal(growth.length, 3);
    assert.ok(growth.every((bytes) => bytes < BUDGET), `grew by ${growth}`);
    assert.ok(stepsAfter >= 1, "it was away before the last step");
  });
}

/** Window and parts over slow links, by a clock on paper. @module */

import assert from "node:assert/strict";
import { SLOW } from "./support/slow_link.ts";
import { average, type Network } from "./support/virtual_network.ts";

/** The default configuration, and four workers. */
const usual: Network = {
  codec: "float32",
  values: 13_400_601,
  workers: 4,
  partBytes: 512 * 1024,
  windowBytes: 16 * 1024 * 1024,
  patienceSeconds: 2,
  link: SLOW,
  isFar: false,
};

Deno.test("over 100 Mbit/s and 40 ms four workers keep their links full, or that of a coordinator behind one, too", () => {
  for (const [isFar, share] of [[false, 0.95], [true, 0.95]] as const) {
    const { seconds, least, repeated } = average({ ...usual, isFar });
    assert.ok(least / seconds >= share, `${seconds} s instead of ${least}`);
    assert.equal(repeated, 0);
  }
});

Deno.test("over 10 Mbit/s a window is in flight for 13 s, and still nothing is sent twice", () => {
  const link = { ...SLOW, bytesPerSecond: 1.25e6 };
  for (const isFar of [false, true]) {
    const { seconds, least, repeated } = average({ ...usual, values: 6_000_000, link, isFar });
    assert.ok(least / seconds >= 0.95, `${seconds} s instead of ${least}`);
    assert.equal(repeated, 0);
  }
});

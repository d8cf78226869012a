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

Deno.test("a processor that takes longer than the links decides: the coordinator's, or the server's", () => {
  const quick = { ...usual, values: 2_000_000, workers: 16, link: { bytesPerSecond: 1e12, delaySeconds: 0 } };
  const parts = Math.ceil(quick.values * 4 / quick.partBytes), messages = quick.workers * parts;
  const close = (seconds: number, wanted: number) =>
    assert.ok(seconds >= wanted && seconds < 1.01 * wanted, `${seconds} s instead of ${wanted}`);
  close(average({ ...quick, service: { part: 1e-3, ack: 1e-4 } }).seconds, messages * 1.1e-3);
  // Of each part and member: a pull and a sum in and out, the mean out, an acknowledgement in and out; the mean in.
  close(average({ ...quick, service: { message: 1e-4 } }).seconds, (7 * messages + parts) * 1e-4);
});

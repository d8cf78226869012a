/** What decodeMessage() accepts, and repeated requests after a malformed answer. @module */

import assert from "node:assert/strict";
import { coordinate } from "../../../src/dist/coordinator.ts";
import { encodeFrame } from "../../../src/dist/protocol/frames.ts";
import { fetchRun } from "../../../src/dist/worker/join.ts";
import {
  type ControlKind,
  decodeMessage,
  encodeControl,
  type Messages,
} from "../../../src/dist/protocol/messages.ts";
import { subjects } from "../../../src/dist/protocol/transport.ts";
import { MemoryBus } from "../support/memory_bus.ts";
import { toyPlan } from "../support/toy.ts";

/** What is left of a message after decodeMessage(). */
function through<K extends ControlKind>(kind: K, message: Messages[K]): unknown {
  const frame = decodeMessage(encodeControl({ kind, run: "r", sender: "s" }, message), "r");
  return "message" in frame ? frame.message : frame;
}

const ESC = "\u001b[2J\u001b]0;title\u0007";
const spent = { computing: 6, exchanging: 0.5, waiting: 7 };
const traffic = {
  ...{ bytesSent: 1, bytesReceived: 2, stateBytes: 3, staleOrders: 4, malformedOrders: 5 },
  ...{ spent, memory: 8 },
};

Deno.test("received texts are freed of control characters for terminals, and shortened", () => {
  const shown = [
    through("status", { phase: `computing${ESC}\nall is well`, progress: 1, traffic }),
    through("leave", { error: `lost${ESC}`, traffic }),
    through("saved", { place: `/runs${ESC}\r` }),
    through("saved", { error: ESC }),
    through("refuse", { reasons: [`because${ESC}\n`] }),
    through("finish", { error: `over${ESC}` }),
  ];
  for (const message of shown) {
    assert.ok(!("refused" in (message as object)));
    for (const text of textsIn(message)) assert.doesNotMatch(text, /\p{Cc}/u);
  }
  const { phase } = through("status", {
    phase: "x".repeat(900_000),
    progress: 1,
    traffic,
  }) as Messages["status"];
  assert.ok(phase.length < 3000);
  const several = through("finish", { error: "one\n  two" });
  assert.deepEqual(several, { error: "one\n  two" }, "an error may have several lines");
});

function textsIn(value: unknown): string[] {
  if (typeof value === "string") return [value];
  return typeof value === "object" && value !== null ? Object.values(value).flatMap(textsIn) : [];
}

Deno.test("a request for the run is repeated after each malformed answer of a stranger", async () => {
  using bus = new MemoryBus();
  const fields = { run: "toy", sender: "coordinator" };
  const nonsense = [
    new TextEncoder().encode("hello"),
    encodeFrame({ ...fields, kind: "run" }),
    encodeFrame({ ...fields, kind: "welcome", codec: "json", payload: new TextEncoder().encode("{}") }),
    encodeControl({ ...fields, kind: "hash" }, {}),
    encodeFrame({
      ...fields,
      kind: "run",
      codec: "json",
      payload: new TextEncoder().encode('{"config":null}'),
    }),
    encodeControl({ ...fields, kind: "refuse" }, { reasons: ["step: none"] }),
    encodeFrame({ ...fields, kind: "out" }),
    encodeFrame({ run: "toy", sender: "w", kind: "ack" }),
  ];
  let asked = 0;
  bus.connect().subscribe(subjects.from("toy", "w"), ({ respond }) => {
    if (asked < nonsense.length) respond?.(nonsense[asked]);
    asked++;
  });
  const listening = Promise.withResolvers<void>();
  const stop = new AbortController();
  const plan = toyPlan();
  const run = coordinate(bus.connect(), plan, { signal: stop.signal, onListening: listening.resolve });
  await listening.promise;
  const { config, configHash } = await fetchRun(bus.connect(), "toy", "w");
  assert.deepEqual([config, configHash], [plan.config, plan.configHash]);
  assert.equal(asked, nonsense.length + 1);
  stop.abort();
  await run;
});

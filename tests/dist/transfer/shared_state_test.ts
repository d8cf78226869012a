/** State transfer between processes that share memory. @module */

import assert from "node:assert/strict";
import { Neighbours } from "../../../src/dist/memory/neighbours.ts";
import { decodeReference, encodeReference } from "../../../src/dist/memory/reference.ts";
import { decodeFrame, encodeFrame, type Frame } from "../../../src/dist/protocol/frames.ts";
import { decodeMessage } from "../../../src/dist/protocol/messages.ts";
import { subjects } from "../../../src/dist/protocol/transport.ts";
import { donorOver } from "../../../src/dist/transfer/donor_requests.ts";
import { PinnedState, transferState } from "../../../src/dist/transfer/state_transfer.ts";
import { MemoryBus } from "../support/memory_bus.ts";
import { noise } from "../support/toy.ts";

const STATE = {
  step: 7,
  updates: 6,
  tokens: 5,
  vectors: { params: noise(1000, 1), m: noise(1000, 2), tiny: new Float32Array([1e-40]) },
};
const PART = 300;

/** A donor over a bus that serves a pinned state; `seen` gets each piece that travels. */
async function overBus(
  pinned: PinnedState,
  neighbours: Neighbours | undefined,
  seen: Frame[],
  alter = noChange,
) {
  using bus = new MemoryBus();
  const [giver, taker] = [bus.connect(), bus.connect()];
  giver.subscribe(subjects.state("r", "d"), async ({ data, respond }) => {
    const question = decodeMessage(data, "r");
    assert.ok(!("refused" in question));
    const answer = await pinned.answer(question, { run: "r", sender: "d", step: question.step });
    const frame = decodeFrame(alter(answer!), "r");
    assert.ok(!("refused" in frame));
    if (frame.kind === "piece") seen.push(frame);
    respond!(alter(answer!));
  });
  const requests = { run: "r", asker: "t", donor: "d", step: 7, patienceSeconds: 0.05, neighbours };
  const donor = donorOver(taker, { ...requests, isSound: () => true, isWanted: () => true });
  return await transferState(donor, { windowBytes: 4 * 3 * PART });
}

const noChange = (frame: Uint8Array) => frame;

Deno.test({
  name: "a neighbour reads a state from the donor's memory, others get it in pieces, bit for bit",
  ignore: Deno.build.os !== "linux",
  async fn() {
    for (const isNear of [true, false]) {
      using pinned = new PinnedState(STATE, PART), neighbours = new Neighbours();
      const seen: Frame[] = [];
      const taken = await overBus(pinned, isNear ? neighbours : undefined, seen);
      assert.deepEqual(taken?.state, STATE);
      assert.equal(seen.length, 9);
      assert.ok(seen.every(({ byReference }) => byReference === isNear));
    }
  },
});

Deno.test({
  name: "a neighbour that can't open the donor's memory after all asks for pieces",
  ignore: Deno.build.os !== "linux",
  async fn() {
    using pinned = new PinnedState(STATE, PART), neighbours = new Neighbours();
    const seen: Frame[] = [];
    const elsewhere = (data: Uint8Array) => {
      const frame = decodeFrame(data, "r") as Frame;
      if (!frame.byReference) return data;
      const reference = decodeReference(frame.payload)!;
      const address = { ...reference.address, nonce: "0".repeat(32) };
      return encodeFrame({ ...frame, payload: encodeReference({ ...reference, address }) });
    };
    const taken = await overBus(pinned, neighbours, seen, elsewhere);
    assert.deepEqual(taken?.state, STATE);
    assert.ok(seen.some(({ byReference }) => byReference) && !seen.at(-1)!.byReference);
  },
});

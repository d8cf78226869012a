/** @module */

import assert from "node:assert/strict";
import { Neighbours } from "../../../src/dist/memory/neighbours.ts";
import { decodeReference, encodeReference } from "../../../src/dist/memory/reference.ts";
import { decodeFrame, encodeFrame, type Frame } from "../../../src/dist/protocol/frames.ts";
import { subjects } from "../../../src/dist/protocol/transport.ts";
import { donorOver } from "../../../src/dist/transfer/donor_requests.ts";
import { MemoryBus } from "../support/memory_bus.ts";
import { decodeMessage, encodeControl, type ReceivedOf } from "../../../src/dist/protocol/messages.ts";
import { type Donor, PinnedState, transferState } from "../../../src/dist/transfer/state_transfer.ts";
import type { ReplicaState } from "../../../src/dist/replica/replica.ts";
import { noise } from "../support/toy.ts";
import { hashesOf } from "../../../src/dist/replica/state_hash.ts";

const STATE = {
  step: 7,
  updates: 6,
  tokens: 5,
  vectors: { params: noise(1000, 1), m: noise(1000, 2), tiny: new Float32Array([1e-40]) },
};
const PART = 300;

/** A donor without a bus between; `alter` changes the parts that it hands out. */
function donorOf(pinned: PinnedState, asked: string[] = [], alter = (payload: Uint8Array) => payload): Donor {
  const decode = <K extends "manifest" | "piece">(bytes: Uint8Array) =>
    decodeMessage(bytes, "r") as ReceivedOf<K>;
  return {
    inspect: async () =>
      decode(encodeControl({ kind: "manifest", run: "r", sender: "d" }, await pinned.manifest())),
    fetch: (vector, part) => {
      asked.push(`${vector}/${part}`);
      const payload = alter(pinned.part(vector, part)!.slice());
      return Promise.resolve(
        decode(encodeFrame({ kind: "piece", run: "r", sender: "d", codec: "float32", payload })),
      );
    },
  };
}

Deno.test("a state is transferred bit for bit, every part once", async () => {
  const asked: string[] = [];
  const pinned = new PinnedState(STATE, PART);
  const taken = await transferState(donorOf(pinned, asked), {
    windowBytes: 4 * 3 * PART,
    own: { step: 0, stateHash: "other" },
  });
  assert.deepEqual(taken, { state: STATE, bytes: 4 * 2001 });
  assert.equal(new Set(asked).size, asked.length);
  assert.equal(asked.length, 4 + 4 + 1);
});

Deno.test("a receiver that has the state already transfers nothing; at another step it does", async () => {
  const pinned = new PinnedState(STATE, PART);
  const asked: string[] = [];
  const stateHash = hashesOf(STATE).state;
  assert.equal(
    await transferState(donorOf(pinned, asked), { windowBytes: 4 * 3 * PART, own: { step: 7, stateHash } }),
    undefined,
  );
  assert.deepEqual(asked, []);
  assert.ok(await transferState(donorOf(pinned), { windowBytes: 4 * 3 * PART, own: { step: 6, stateHash } }));
});

Deno.test("a state that arrives with another hash is rejected", async () => {
  const flip = (payload: Uint8Array) => {
    payload[3] ^= 1;
    return payload;
  };
  const donor = donorOf(new PinnedState(STATE, PART), [], flip);
  await assert.rejects(
    transferState(donor, { windowBytes: 4 * PART }),
    /state of step 7 has arrived with another hash/,
  );
});

Deno.test("hashesOf() depends on every vector, its name, and the number of updates", () => {
  const { state } = hashesOf(STATE);
  const { params, m, tiny } = STATE.vectors;
  const others: ReplicaState[] = [
    { ...STATE, updates: 7 },
    { ...STATE, vectors: { params, m: tiny, tiny: m } },
    { ...STATE, vectors: { params: m, m: params, tiny } },
    { ...STATE, vectors: { params, m } },
  ];
  for (const other of others) assert.notEqual(hashesOf(other).state, state);
  assert.equal(hashesOf({ ...STATE, vectors: { tiny, m, params } }).state, state, "whatever the order");
});

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

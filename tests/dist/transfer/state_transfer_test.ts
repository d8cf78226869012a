/** @module */

import assert from "node:assert/strict";
import { encodeFrame } from "../../../src/dist/protocol/frames.ts";
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

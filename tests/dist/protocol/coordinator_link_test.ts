/** @module */

import assert from "node:assert/strict";
import { CoordinatorLink } from "../../../src/dist/protocol/coordinator_link.ts";

function contactOf() {
  let lost = 0;
  const transport = { isConnected: true };
  const connections: string[] = [];
  const contact = new CoordinatorLink({ term: 2, generation: 3 }, {
    run: "toy",
    heartbeatSeconds: 1,
    silenceSeconds: 10,
    transport,
    onLost: () => lost++,
    onCutOff: (isCutOff) => connections.push(isCutOff ? "lost" : "there"),
  });
  return { contact, lost: () => lost, transport, connections };
}

const answer = new Uint8Array(1);

Deno.test("orders of a lower term, or of an earlier generation, are stale; a higher term is another coordinator", () => {
  const { contact } = contactOf();
  assert.equal(contact.hear({ term: 1, generation: 9 }), "stale");
  assert.equal(contact.hear({ term: 2, generation: 2 }), "stale");
  assert.equal(contact.hear({ term: 2, generation: 4 }), "same");
  assert.deepEqual(contact.place, { term: 2, generation: 4 });
  assert.equal(contact.hear({ term: 3, generation: 0 }), "other");
  assert.equal(contact.hear({ term: 2, generation: 5 }), "stale", "there is a newer one");
  assert.equal(contact.hear({ term: 3, generation: 0 }), "other", "until it has admitted this worker");
  assert.deepEqual(contact.place, { term: 2, generation: 4 }, "where the worker belonged");
  contact.move({ term: 3, generation: 5 });
  assert.equal(contact.hear({ term: 3, generation: 5 }), "same");
});

Deno.test("a worker reports once that no coordinator answers, waits for another one, and gives up", () => {
  const { contact, lost } = contactOf();
  contact.asked("silence");
  assert.equal(lost(), 0);
  for (let i = 0; i < 8; i++) contact.asked("nobody");
  assert.equal(lost(), 1);
  assert.throws(
    () => contact.asked("nobody"),
    /the coordinator of the run "toy" is gone, and no other came for 10 s/,
  );
});

Deno.test("any frame of the coordinator resets the silence; a stale one does not", () => {
  const { contact, lost } = contactOf();
  for (let i = 0; i < 9; i++) contact.asked("silence");
  contact.hear({ term: 2, generation: 3 });
  contact.asked("silence");
  for (let i = 0; i < 9; i++) contact.asked("silence");
  assert.equal(lost(), 2);
  contact.hear({ term: 1, generation: 3 });
  assert.throws(
    () => contact.asked(answer),
    /nothing was heard of the coordinator of the run "toy" for 10 s/,
  );
});

Deno.test("heartbeats that could not be sent do not count as unanswered; afterwards the whole timeout applies", () => {
  const { contact, lost, transport, connections } = contactOf();
  for (let i = 0; i < 4; i++) contact.asked("silence");
  transport.isConnected = false;
  for (let i = 0; i < 600; i++) contact.asked("silence");
  assert.equal(lost(), 0, "the coordinator may be there");
  transport.isConnected = true;
  for (let i = 0; i < 9; i++) contact.asked("nobody"); // it comes back later than this worker
  contact.hear({ term: 2, generation: 3 });
  contact.asked(answer);
  assert.deepEqual(connections, ["lost", "there"]);
  for (let i = 0; i < 9; i++) contact.asked("nobody");
  assert.throws(() => contact.asked("nobody"), /no other came for 10 s/);
});

Deno.test("a heartbeat in flight when the connection is lost does not count as unanswered", () => {
  const { contact, transport } = contactOf();
  for (let round = 0; round < 20; round++) {
    for (let i = 0; i < 9; i++) contact.asked("silence");
    transport.isConnected = false;
    contact.asked("silence");
    transport.isConnected = true;
  }
});

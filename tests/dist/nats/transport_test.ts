/** @module */

import assert from "node:assert/strict";
import { connectNats } from "../../../src/dist/nats/transport.ts";
import { startServer } from "../support/nats_server.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

Deno.test("a denied subject ends the connection, with the subject in the error", async () => {
  const permissions = { publish: ["flashmob.mine.>"], subscribe: [">"] };
  await using server = await startServer({
    authorization: { users: [{ user: "worker", password: "s e/cret", permissions }] },
  });
  const url = `nats://worker:${encodeURIComponent("s e/cret")}@127.0.0.1:${server.port}`;
  const transport = await connectNats(url, "test");
  transport.publish("flashmob.mine.all", bytes("allowed"));
  await transport.flush();
  transport.publish("flashmob.other.all", bytes("denied"));
  const error = await transport.closed;
  assert.match(error!.message, /does not let this user publish on "flashmob.other.all"/);
  await transport.close();
});

Deno.test("a connection outlives a restart of the server; what is published meanwhile is dropped", async () => {
  const received: string[] = [];
  let port: number;
  {
    await using first = await startServer({});
    ({ port } = first);
  }
  await using stack = new AsyncDisposableStack();
  const before = await startServer({ port });
  const listener = await connectNats(`nats://127.0.0.1:${port}`, "listener");
  const sender = await connectNats(`nats://127.0.0.1:${port}`, "sender");
  stack.defer(() => listener.close());
  stack.defer(() => sender.close());
  listener.subscribe("news", ({ data }) => received.push(new TextDecoder().decode(data)));
  await listener.flush();
  sender.publish("news", bytes("before"));
  await sender.flush(); // the server has it, and may not have delivered it yet
  while (received.length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
  await before[Symbol.asyncDispose]();
  await new Promise((resolve) => setTimeout(resolve, 100));
  sender.publish("news", bytes("meanwhile"));
  assert.equal(await sender.request("news", bytes("?"), 0.05), "silence");
  stack.use(await startServer({ port }));
  for (let attempt = 0; attempt < 100 && !received.includes("after"); attempt++) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    sender.publish("news", bytes("after"));
  }
  assert.equal(received[0], "before");
  assert.ok(received.includes("after"));
  assert.ok(!received.includes("meanwhile"));
});

Deno.test("messages that are composed in reused memory arrive unchanged", async () => {
  await using server = await startServer({});
  const url = `nats://127.0.0.1:${server.port}`;
  const [sender, receiver] = [await connectNats(url, "sender"), await connectNats(url, "receiver")];
  const arrived: [length: number, first: number, others: boolean][] = [];
  receiver.subscribe("parts", ({ data }) => {
    arrived.push([data.length, data[0], data.every((value) => value === data[0])]);
  });
  await receiver.flush();
  const lengths = Array.from({ length: 60 }, (_, i) => [600_000, 600_001, 10, 70_000][i % 4]);
  for (const [i, length] of lengths.entries()) {
    sender.compose("parts", { length, write: (into) => into.fill(i) });
    if (i % 9 === 0) await sender.flush(); // some of the buffers are free again
  }
  await sender.flush();
  await receiver.flush();
  assert.deepEqual(arrived, lengths.map((length, i) => [length, i, true]));
  await sender.close();
  sender.compose("parts", { length: 10, write: () => assert.fail("nobody is there") });
  await receiver.close();
});

Deno.test("what is published during an outage of the server is not kept", async () => {
  const server = await startServer({});
  const transport = await connectNats(`nats://127.0.0.1:${server.port}`, "sender");
  await server[Symbol.asyncDispose]();
  while (transport.isConnected) await new Promise((resolve) => setTimeout(resolve, 10));
  const before = Deno.memoryUsage().rss;
  for (let i = 0; i < 1000; i++) {
    transport.publish("news", new Uint8Array(1e6).fill(i));
    if (i % 20 === 0) await new Promise((resolve) => setTimeout(resolve, 1)); // V8 can free memory
  }
  const growth = Deno.memoryUsage().rss - before;
  assert.ok(growth < 250e6, `of 1 GB ${Math.round(growth / 1e6)} MB are kept`);
  await transport.close();
});

Deno.test("a server that closes the connection before its first message is reported, and not tried again", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  let calls = 0;
  const answering = (async () => {
    for await (const connection of listener) {
      calls++;
      connection.close();
    }
  })();
  const { port } = listener.addr as Deno.NetAddr;
  await assert.rejects(
    connectNats(`nats://127.0.0.1:${port}`, "worker-0"),
    /could not connect to a NATS server at 127\.0\.0\.1:\d+ \(/,
  );
  const tried = calls;
  await new Promise((resolve) => setTimeout(resolve, 600)); // twice the time between two attempts
  assert.equal(calls, tried);
  listener.close();
  await answering;
});

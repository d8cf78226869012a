/** @module */

import assert from "node:assert/strict";
import { startNatsServer } from "../../src/dist/server.ts";
import { connectNats } from "../../src/dist/nats_transport.ts";

Deno.test("a NATS server starts on a free port of the loopback interface and ends when disposed of", async () => {
  let port: number;
  {
    await using server = await startNatsServer();
    port = server.port;
    const transport = await connectNats(server.url, "test");
    assert.equal(transport.maxPayload, 1024 * 1024);
    await transport.close();
  }
  await assert.rejects(Deno.connect({ hostname: "127.0.0.1", port }), Deno.errors.ConnectionRefused);
});

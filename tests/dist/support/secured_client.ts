/**
 * As a process, which trusts the certificate that DENO_CERT names: sends itself messages over TLS, large ones too.
 *
 * @module
 */

import assert from "node:assert/strict";
import { connectNats } from "../../../src/dist/nats/transport.ts";

const transport = await connectNats(Deno.args[0], "secured");
const lengths: number[] = [];
transport.subscribe("parts", ({ data }) => lengths.push(data.length));
for (const length of [1, 600_000, 10, 900_000]) {
  transport.compose("parts", { length, write: (into) => into.fill(7) });
}
await transport.flush();
assert.deepEqual(lengths, [1, 600_000, 10, 900_000]);
await transport.close();

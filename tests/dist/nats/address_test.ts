/** @module */

import assert from "node:assert/strict";
import { parseNatsAddress } from "../../../src/dist/nats/address.ts";
import { connectNats } from "../../../src/dist/nats/transport.ts";
import { ConfigError } from "../../../src/errors.ts";

const SECRET = "s3cret";

/** The error for an invalid address. */
function problemOf(address: string): string {
  try {
    parseNatsAddress(address);
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  return "";
}

Deno.test("an address is split into its parts, and credentials are decoded", () => {
  const plain = { port: 4222, tls: false, token: "", user: "", pass: "" };
  const read: [string, Partial<ReturnType<typeof parseNatsAddress>>][] = [
    ["nats://host", { hostname: "host" }],
    ["NATS://host/", { hostname: "host" }],
    ["tls://10.0.0.1:80", { hostname: "10.0.0.1", port: 80, tls: true }],
    ["nats://[::1]:4300", { hostname: "[::1]", port: 4300 }],
    ["nats://[2001:db8::7]", { hostname: "[2001:db8::7]" }],
    ["nats://node_1.cluster:4222", { hostname: "node_1.cluster" }],
    ["nats://a%2Fb%25%20%40@host", { hostname: "host", token: "a/b% @" }],
    ["nats://t+o-k=e.n~!$&'*@host", { hostname: "host", token: "t+o-k=e.n~!$&'*" }],
    ["nats://user:p:a@s:s@host:1", { hostname: "host", port: 1, user: "user", pass: "p:a@s:s" }],
    ["nats://us%C3%A9r:%3A@host", { hostname: "host", user: "usér", pass: ":" }],
    ["nats://pässwörd@host", { hostname: "host", token: "pässwörd" }],
  ];
  for (const [address, parts] of read) {
    assert.deepEqual(parseNatsAddress(address), { ...plain, ...parts }, address);
  }
});

Deno.test("the error for an invalid address says how to write it, and does not show its secret", () => {
  const refused: [string, RegExp][] = [
    [`nats://${SECRET}/x@host:4222`, /"\/" in its token.*write %2F for "\/"/],
    [`nats://user:${SECRET}#x@host`, /"#" in its.*write %23/],
    [`nats://user:${SECRET}?@host`, /"\?" in its.*write %3F/],
    [`nats://user:${SECRET}\\@host`, /write %5C/],
    [`nats://${SECRET}%@host`, /"%" in its.*write %25 for "%"/],
    [`nats://user:100%${SECRET}zz@host`, /write %25/],
    [`nats://${SECRET}%ff@host`, /write %25/],
    [`nats://${SECRET} x@host`, /write %20 for " "/],
    [`nats://${SECRET}\nx@host`, /write %0A for "\\n"/],
    [`nats://user:@host`, /no password after the user/],
    [`nats://:${SECRET}@host`, /no user before the colon/],
    [`nats://@host`, /no token before the @/],
    [`nats://${SECRET}@`, /host or port can't be read/],
    [`nats://${SECRET}@:4222`, /host or port can't be read/],
    [`nats://${SECRET}@host:`, /host or port can't be read/],
    [`nats://${SECRET}@host:port`, /host or port can't be read/],
    [`nats://${SECRET}@host:0`, /the port is not between 1 and 65535/],
    [`nats://${SECRET}@host:99999`, /the port is not between/],
    [`nats://${SECRET}@host/path`, /there is "\/" after the host/],
    [`nats://${SECRET}@host?tls=true`, /there is "\?" after the host/],
    [`nats://${SECRET}@a:4222,b:4222`, /a comma; name one server/],
    [`nats://${SECRET}@::1:4222`, /an IPv6 address has brackets, as in nats:\/\/\[::1\]:4222/],
    [`nats://${SECRET}@[::1`, /brackets/],
    [`nats://${SECRET}@[abc]`, /no name and no address/],
    [`http://${SECRET}@host`, /it begins with http:\/\//],
    [`ws://${SECRET}@host`, /it begins with ws:\/\//],
    [`${SECRET}@host:4222`, /no nats:\/\/ before it/],
    ["host:4222", /no nats:\/\/ before it/],
    ["", /no nats:\/\/ before it/],
    ["nats://", /host or port can't be read/],
    ["nats:host", /no nats:\/\/ before it/],
  ];
  for (const [address, problem] of refused) {
    const words = problemOf(address);
    assert.match(words, problem, address);
    assert.match(words, /expected nats:\/\/HOST:PORT, nats:\/\/TOKEN@HOST:PORT or/, address);
    assert.ok(!words.includes(SECRET), words);
  }
});

Deno.test("connecting rejects such an address with the same error", async () => {
  for (const address of ["nats://a/b@host", "nats://user:50%@host", "localhost:4222"]) {
    await assert.rejects(connectNats(address, "worker-0"), (error: Error) => {
      assert.ok(error instanceof ConfigError);
      assert.equal(error.message, problemOf(address));
      return true;
    });
  }
});

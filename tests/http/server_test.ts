/** Who comes in at the HTTP server, with what, and how it ends. @module */

import assert from "node:assert/strict";
import { answer, jsonAnswer } from "../../src/http/answers.ts";
import type { EventSender } from "../../src/http/event_stream.ts";
import { HttpError } from "../../src/http/problems.ts";
import { type Handler, HttpServer } from "../../src/http/server.ts";

const hello: Handler = (url) => jsonAnswer({ path: url.pathname });
const open = (handler: Handler = hello, hostname = "127.0.0.1") =>
  new HttpServer({ hostname, port: 0 }, handler);

/** What a server answers to a request as it stands; for headers that `fetch` does not let through. */
async function raw(port: number, request: string): Promise<string> {
  using connection = await Deno.connect({ hostname: "127.0.0.1", port });
  await connection.write(new TextEncoder().encode(request.replaceAll("\n", "\r\n")));
  return await new Response(connection.readable).text().catch(() => "");
}

const statusOf = (response: string) => Number(/^HTTP\/1.1 (\d+)/.exec(response)?.[1]);
const get = (port: number, headers: string, path = "/") =>
  raw(port, `GET ${path} HTTP/1.1\nConnection: close\n${headers}\n\n`);

Deno.test("the address names the port, and answers carry headers that keep a page to itself", async () => {
  await using server = open(() => answer("<p>", "html"));
  assert.equal(server.url, `http://127.0.0.1:${server.port}/`);
  const response = await fetch(server.url);
  assert.equal(await response.text(), "<p>");
  const { headers } = response;
  assert.match(headers.get("content-security-policy")!, /^default-src 'self'; .*frame-ancestors 'none'/);
  assert.ok(!headers.get("content-security-policy")!.includes("unsafe"));
  assert.equal(headers.get("x-content-type-options"), "nosniff");
  assert.equal(headers.get("referrer-policy"), "no-referrer");
  assert.equal(headers.get("access-control-allow-origin"), null);
});

Deno.test("a name that leads here by DNS is not this server's", async () => {
  await using server = open();
  const { port } = server;
  for (const host of [`localhost:${port}`, `127.0.0.1:${port}`, "[::1]:9", "LOCALHOST"]) {
    assert.equal(statusOf(await get(port, `Host: ${host}`)), 200, host);
  }
  for (
    const host of [
      "evil.example",
      `evil.example:${port}`,
      "localhost.evil.example",
      "10.0.0.1",
      "",
      "localhost:x",
    ]
  ) {
    assert.notEqual(statusOf(await get(port, `Host: ${host}`)), 200, host);
  }
  assert.equal(statusOf(await get(port, "Host: evil.example")), 403);
});

Deno.test("another site's page gets nothing, unless it links here", async () => {
  await using server = open();
  const ask = async (site: string, mode: string) =>
    statusOf(await get(server.port, `Host: localhost\nSec-Fetch-Site: ${site}\nSec-Fetch-Mode: ${mode}`));
  assert.equal(await ask("cross-site", "no-cors"), 403);
  assert.equal(await ask("cross-site", "navigate"), 200);
  assert.equal(await ask("same-origin", "cors"), 200);
});

Deno.test("a request only reads, is short and has no body", async () => {
  await using server = open();
  for (const method of ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"]) {
    const response = await fetch(server.url, { method });
    assert.equal(response.status, 405, method);
    assert.match((await response.json()).error, /only GET and HEAD/);
  }
  const long = await fetch(`${server.url}?${"x".repeat(5000)}`);
  assert.equal(long.status, 414);
  await long.body?.cancel();
  assert.equal(statusOf(await get(server.port, "Host: localhost\nContent-Length: 3\n\nabc")), 413);
  assert.equal(statusOf(await get(server.port, "Host: localhost\nTransfer-Encoding: chunked\n\n0\n\n")), 413);
  const head = await fetch(server.url, { method: "HEAD" });
  assert.deepEqual([head.status, head.headers.get("content-type"), await head.text()], [
    200,
    "application/json",
    "",
  ]);
});

Deno.test("an error of a handler answers one request, and tells no path of this machine", async () => {
  await using server = open((url) => {
    if (url.pathname === "/missing") throw new HttpError(404, "there is no such page");
    throw new Error("/home/somebody/secret is broken");
  });
  const missing = await fetch(`${server.url}missing`), broken = await fetch(server.url);
  assert.deepEqual([missing.status, await missing.json()], [404, { error: "there is no such page" }]);
  const { error } = await broken.json();
  assert.equal(broken.status, 500);
  assert.ok(!error.includes("secret"), error);
});

Deno.test("a server that other machines reach has a secret, in its address once and then in a cookie", async () => {
  await using server = open(hello, "0.0.0.0");
  await using another = open(hello, "0.0.0.0");
  const key = new URL(server.url).searchParams.get("key")!;
  assert.match(key, /^[\w-]{43}$/);
  assert.notEqual(key, new URL(another.url).searchParams.get("key"));
  const base = `http://127.0.0.1:${server.port}`;
  const ask = async (path: string, headers: HeadersInit = {}) => {
    const response = await fetch(base + path, { headers });
    return {
      status: response.status,
      text: await response.text(),
      cookie: response.headers.get("set-cookie"),
    };
  };
  assert.equal((await ask("/api")).status, 401);
  const wrong = key[0] === "A" ? `B${key.slice(1)}` : `A${key.slice(1)}`;
  for (const path of ["/", "/api"]) {
    for (const bad of [wrong, key.slice(1), `${key}A`, "", "ü".repeat(43)]) {
      const { status, cookie } = await ask(`${path}?key=${bad}`);
      assert.deepEqual([status, cookie], [401, null], bad);
    }
  }
  const first = await ask(`/?key=${key}`);
  assert.match(first.cookie!, /HttpOnly; SameSite=Strict$/);
  assert.match(first.text, /url=\/"/);
  assert.ok(!first.text.includes(key));
  const cookie = first.cookie!.split(";")[0];
  assert.equal((await ask("/api", { cookie: `other=1; ${cookie}` })).status, 200);
  assert.equal((await ask("/api", { cookie: cookie.replace(key, wrong) })).status, 401);
  assert.equal((await ask(`/api?key=${key}`)).status, 200);
  assert.equal(statusOf(await get(server.port, `Host: evil.example\nCookie: ${cookie}`)), 403);
  assert.equal(statusOf(await get(server.port, `Host: ${Deno.hostname()}\nCookie: ${cookie}`)), 200);
});

Deno.test("a place that is taken is an error for people", async () => {
  await using server = open();
  assert.throws(
    () => new HttpServer({ hostname: "127.0.0.1", port: server.port }, hello),
    new RegExp(`can't be served at 127.0.0.1:${server.port}: another process listens there`),
  );
  assert.throws(() => open(hello, "203.0.113.1"), /can't be served at 203.0.113.1:0: /);
});

Deno.test("messages come as they are sent, and the server knows when a page has gone", async () => {
  const senders: EventSender[] = [];
  await using server = open((_, visit) =>
    visit.stream(async (sender) => {
      senders.push(sender);
      sender.send("step", { loss: NaN, text: "a\nb" });
      await new Promise((resolve) => sender.signal.addEventListener("abort", resolve));
    })
  );
  const page = new AbortController();
  const response = await fetch(server.url, { signal: page.signal });
  assert.equal(response.headers.get("content-type"), "text/event-stream");
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  while (!text.includes("\n\n", 20)) text += (await reader.read()).value;
  assert.equal(text, 'retry: 2000\n\nevent: step\ndata: {"loss":null,"text":"a\\nb"}\n\n');
  const gone = new Promise((resolve) => senders[0].signal.addEventListener("abort", resolve));
  page.abort();
  await reader.read().catch(() => {});
  await gone;
  senders[0].send("step", {}); // goes nowhere, and harms nothing
});

Deno.test("only so many pages listen at once, and one that leaves makes room", async () => {
  await using server = open((_, visit) =>
    visit.stream(({ signal }) => new Promise((resolve) => signal.addEventListener("abort", () => resolve())))
  );
  const pages = await Promise.all(Array.from({ length: 32 }, () => fetch(server.url)));
  const tooMany = await fetch(server.url);
  assert.equal(tooMany.status, 503);
  assert.match((await tooMany.json()).error, /more than 32 pages/);
  for (const { body } of pages) await body!.cancel();
  for (let status = 503, i = 0; status === 503 && i < 100; i++) {
    const response = await fetch(server.url);
    status = response.status;
    await response.body!.cancel();
    if (status === 503) await new Promise((resolve) => setTimeout(resolve, 20));
    else return;
  }
  assert.fail("no page had made room after two seconds");
});

Deno.test("a page that does not read is let go, and the server keeps no more for it than its bound", async () => {
  const ended = Promise.withResolvers<void>();
  await using server = open((_, visit) =>
    visit.stream(async ({ send, signal }) => {
      for (let i = 0; i < 10_000 && !signal.aborted; i++) {
        send("step", { text: "x".repeat(100_000) });
        await new Promise((resolve) => setTimeout(resolve));
      }
      if (signal.aborted) ended.resolve();
    })
  );
  using connection = await Deno.connect({ hostname: "127.0.0.1", port: server.port });
  await connection.write(new TextEncoder().encode("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"));
  await ended.promise;
});

Deno.test("the end lets listening pages go, and takes no longer than a moment", async () => {
  const server = open((_, visit) =>
    visit.stream(({ signal }) => new Promise((resolve) => signal.addEventListener("abort", () => resolve())))
  );
  const response = await fetch(server.url);
  const read = response.text();
  const begun = performance.now();
  await server[Symbol.asyncDispose]();
  assert.ok(performance.now() - begun < 5000);
  assert.equal(await read, "retry: 2000\n\n");
  await assert.rejects(fetch(server.url));
});

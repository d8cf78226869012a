/** Every attempt to connect has a timeout and an error message. @module */

import assert from "node:assert/strict";
import { type AddressInfo, createServer } from "node:net";
import { fileURLToPath } from "node:url";
import { connectNats } from "../../../src/dist/nats/transport.ts";
import { RunError, TransientError } from "../../../src/errors.ts";
import { startServer } from "../support/nats_server.ts";

/** A listener on the loopback interface that is not a NATS server, or a strange one. */
function stranger(serve: (connection: Deno.TcpConn) => Promise<void>, tcpBacklog?: number) {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0, tcpBacklog });
  const open: Deno.TcpConn[] = [];
  const accepting = (async () => {
    for await (const connection of listener) {
      open.push(connection);
      serve(connection).catch(() => {}); // the connection was closed meanwhile
    }
  })();
  return {
    url: `nats://127.0.0.1:${listener.addr.port}`,
    async [Symbol.asyncDispose]() {
      listener.close();
      for (const connection of open) {
        try {
          connection.close();
        } catch { /* it has closed it itself */ }
      }
      await accepting;
    },
  };
}

const SETTINGS = fileURLToPath(new URL("../../../deno.json", import.meta.url));
const SECURED = fileURLToPath(new URL("../support/secured_client.ts", import.meta.url));

const text = (words: string) => new TextEncoder().encode(words);
const saying = (...pieces: Uint8Array[]) => async (connection: Deno.TcpConn) => {
  for (const piece of pieces) await connection.write(piece);
};
const INFO = text(
  'INFO {"server_id":"x","version":"2.10.0","proto":1,"headers":true,"max_payload":1048576}\r\n',
);
const silent = () => Promise.resolve();

/** An address to which packets are dropped: no process accepts the connections that wait there, and the backlog is small. */
async function deaf() {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0, tcpBacklog: 1 });
  const { port } = listener.addr;
  const fillers = new AbortController();
  const all = Array.from(
    { length: 4 },
    () => Deno.connect({ hostname: "127.0.0.1", port, signal: fillers.signal }).catch(() => undefined),
  );
  await new Promise((resolve) => setTimeout(resolve, 100));
  return {
    url: `nats://127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      fillers.abort();
      for (const connection of await Promise.all(all)) connection?.close();
      listener.close();
    },
  };
}

async function seconds(action: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await action();
  return (performance.now() - started) / 1000;
}

Deno.test("what is not a NATS server is rejected at once, with the reason", async () => {
  const others: [Uint8Array[], RegExp][] = [
    [
      [text("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")],
      /is not a NATS server: it says "HTTP\/1.1 400 Bad Request"/,
    ],
    [[text("SSH-2.0-OpenSSH_9.2p1\r\n")], /it says "SSH-2/],
    [[new Uint8Array(8).fill(0x9b)], /it says "[^\u0080-\u009f]+"/], // no line end, and what some terminals take for an escape
    [[text("INFO "), text("nothing\r\n")], /its first message is not that of a NATS server/],
    [[text("PING\r\n")], /its first message is not that of a NATS server/],
    [[text("INFO null\r\nwhatever\r\n")], /it says "whatever"|could not connect/],
    [[text("INFO "), new Uint8Array(100_000).fill(65)], /what it says has no end of line/],
  ];
  for (const [pieces, words] of others) {
    await using other = stranger(saying(...pieces));
    const took = await seconds(() =>
      assert.rejects(connectNats(other.url, "worker-0"), (error: Error) => {
        assert.ok(error instanceof RunError);
        assert.match(error.message, words);
        return true;
      })
    );
    assert.ok(took < 5, `${words} after ${took} s`);
  }
});

Deno.test("an endless line takes no memory, and does not block the process", async () => {
  await using other = stranger(async (connection) => {
    for (;;) await connection.write(new Uint8Array(65536).fill(65));
  });
  let ticks = 0;
  const timer = setInterval(() => ticks++, 10);
  await assert.rejects(connectNats(other.url, "worker-0"), /is not a NATS server/);
  await new Promise((resolve) => setTimeout(resolve, 300));
  clearInterval(timer);
  assert.ok(ticks > 10, `${ticks} ticks`);
});

Deno.test("an attempt ends with its signal, wherever it is", async () => {
  await using dropping = await deaf();
  await using quiet = stranger(silent);
  await using stopping = stranger(saying(INFO));
  for (const { url } of [dropping, quiet, stopping]) {
    const abort = new AbortController();
    const reason = new Error("enough");
    setTimeout(() => abort.abort(reason), 200);
    const took = await seconds(() =>
      assert.rejects(connectNats(url, "worker-0", { signal: abort.signal }), (error) => error === reason)
    );
    assert.ok(took < 5, `${took} s`);
  }
  await assert.rejects(connectNats(quiet.url, "worker-0", { signal: AbortSignal.abort() }), {
    name: "AbortError",
  });
});

Deno.test("an attempt without an answer reports that it takes long, ends by itself, and says what was missing", async () => {
  await using dropping = await deaf();
  await using quiet = stranger(silent);
  await using stopping = stranger(saying(INFO)); // the client speaks, and gets no answer
  await using halting = stranger(saying(INFO.subarray(0, 20)));
  const attempts: [string, RegExp][] = [
    [dropping.url, /\(waited for 20 s, and nothing answers there, as where the address is wrong, a firewall/],
    [quiet.url, /\(waited for 20 s, and what listens there says nothing\)/],
    [halting.url, /\(waited for 20 s, and what listens there says nothing\)/],
    [stopping.url, /\(the server does not answer\)/],
  ];
  await Promise.all(attempts.map(async ([url, words]) => {
    const said: string[] = [];
    const took = await seconds(() =>
      assert.rejects(
        connectNats(url, "worker-0", { onStatus: (line) => said.push(line) }),
        (error: Error) => {
          assert.ok(error instanceof TransientError);
          assert.match(error.message, words);
          return true;
        },
      )
    );
    assert.ok(took < 40, `${took} s`);
    assert.equal(said.length, 1);
    assert.match(
      said[0],
      /^connecting to the NATS server at 127\.0\.0\.1:\d+ takes long; it is given up after 20 s$/,
    );
  }));
});

Deno.test("a closed port and an unknown host name are reported at once", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  await assert.rejects(connectNats(`nats://127.0.0.1:${port}`, "x"), /could not connect .*refused/);
  await assert.rejects(
    connectNats("nats://nobody.invalid", "x"),
    /could not connect to a NATS server at nobody\.invalid:4222 \(/,
  );
});

Deno.test("the error of a server that rejects the client is reported at once", async () => {
  await using server = await startServer({ max_connections: 1 });
  const url = `nats://127.0.0.1:${server.port}`;
  const first = await connectNats(url, "first");
  const took = await seconds(() =>
    assert.rejects(
      connectNats(url, "second"),
      /could not connect .*the server says "maximum connections exceeded"/,
    )
  );
  assert.ok(took < 5, `${took} s`);
  await first.close();
  await using hasty = stranger(async (connection) => {
    await connection.write(INFO);
    connection.close();
  });
  await assert.rejects(
    connectNats(hasty.url, "x"),
    /could not connect .*(the server closed the connection|reset|pipe)/,
  );
});

Deno.test("the error of a server is reported where it resets the connection after it", async () => {
  const rude = createServer((socket) => {
    socket.write(INFO);
    socket.write("-ERR 'maximum connections exceeded'\r\n");
    setTimeout(() => socket.resetAndDestroy(), 100); // as where what the client has sent was not read
  });
  await new Promise<void>((resolve) => rude.listen(0, "127.0.0.1", resolve));
  const { port } = rude.address() as AddressInfo;
  await assert.rejects(
    connectNats(`nats://127.0.0.1:${port}`, "x"),
    /could not connect .*the server says "maximum connections exceeded"/,
  );
  await new Promise((resolve) => rude.close(resolve));
});

Deno.test("IPv6 addresses are accepted", async () => {
  await using server = await startServer({ host: "::1" });
  const transport = await connectNats(`nats://[::1]:${server.port}`, "x");
  await transport.close();
});

Deno.test("a wrong token is reported at each attempt, and credentials may have special characters", async () => {
  await using server = await startServer({ authorization: { user: "us/er", password: "p@s:s%/#? w" } });
  const host = `127.0.0.1:${server.port}`;
  await Promise.all(Array.from({ length: 30 }, () =>
    assert.rejects(
      connectNats(`nats://wrong@${host}`, "x"),
      /^RunError: the NATS server at 127\.0\.0\.1:\d+ does not accept the token or password/,
    )));
  const transport = await connectNats(`nats://us%2Fer:p@s:s%25%2F%23%3F%20w@${host}`, "x");
  await transport.close();
});

Deno.test("TLS that is wanted by one side only is reported for either side", async () => {
  const folder = await Deno.makeTempDir();
  const [key, cert] = [`${folder}/key.pem`, `${folder}/cert.pem`];
  const { success, stderr } = await new Deno.Command("openssl", {
    args: [
      "req",
      "-x509",
      "-newkey",
      "rsa:2048",
      "-nodes",
      "-keyout",
      key,
      "-out",
      cert,
      "-days",
      "2",
      "-subj",
      "/CN=localhost",
      "-addext",
      "subjectAltName=DNS:localhost",
      "-addext",
      "basicConstraints=critical,CA:FALSE",
    ],
  }).output();
  assert.ok(success, new TextDecoder().decode(stderr));
  await using secured = await startServer({ tls: { cert_file: cert, key_file: key } });
  await using plain = await startServer();
  await using either = await startServer({ tls: { cert_file: cert, key_file: key }, allow_non_tls: true });
  const took = await seconds(async () => {
    await assert.rejects(
      connectNats(`nats://token@127.0.0.1:${secured.port}`, "x"),
      /wants TLS; write its address with tls:\/\/ instead of nats:\/\//,
    );
    await assert.rejects(
      connectNats(`tls://127.0.0.1:${plain.port}`, "x"),
      /has no TLS; write its address with nats:\/\/ instead of tls:\/\//,
    );
    await assert.rejects(
      connectNats(`tls://127.0.0.1:${secured.port}`, "x"), // signed by itself
      /could not agree on TLS .*certificate.*DENO_CERT/,
    );
  });
  assert.ok(took < 10, `${took} s`);
  const transport = await connectNats(`nats://127.0.0.1:${either.port}`, "x");
  await transport.close();
  const trusting = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--config", SETTINGS, "-A", SECURED, `tls://localhost:${secured.port}`],
    env: { DENO_CERT: cert },
  }).output();
  assert.equal(trusting.code, 0, new TextDecoder().decode(trusting.stderr));
  await Deno.remove(folder, { recursive: true });
});

Deno.test("a user without permission to subscribe to answers gets an error at once, and closing ends", async () => {
  const permissions = { publish: ["flashmob.>"], subscribe: ["flashmob.>"] };
  await using server = await startServer({
    authorization: { users: [{ user: "u", password: "p", permissions }] },
  });
  await assert.rejects(
    connectNats(`nats://u:p@127.0.0.1:${server.port}`, "x"),
    /^RunError: the NATS server does not let this user subscribe to "_INBOX\.[^"]+"; flashmob needs flashmob\.> and _INBOX\.>/,
  );
});

Deno.test("a denied request fails instead of timing out; so do later requests", async () => {
  const permissions = { publish: ["other.>"], subscribe: [">"] };
  await using server = await startServer({
    authorization: { users: [{ user: "u", password: "p", permissions }] },
  });
  const transport = await connectNats(`nats://u:p@127.0.0.1:${server.port}`, "x");
  const denied = /does not let this user publish on "flashmob\.demo\.from\.x"/;
  for (let i = 0; i < 2; i++) {
    await assert.rejects(transport.request("flashmob.demo.from.x", text("?"), 5), denied);
  }
  assert.match((await transport.closed)!.message, denied);
  assert.ok(await seconds(() => transport.close()) < 1);
});

Deno.test("closing ends while the server is frozen and reads nothing", async () => {
  await using server = await startServer();
  const transport = await connectNats(`nats://127.0.0.1:${server.port}`, "x");
  server.freeze(true);
  for (let i = 0; i < 40; i++) transport.publish("news", new Uint8Array(1e6));
  assert.ok(await seconds(() => transport.close()) < 15);
  assert.equal(await transport.request("news", text("?"), 5), "silence");
});

Deno.test("a server that stays unreachable ends the connection, and pending requests", async () => {
  const server = await startServer();
  const { port } = server;
  const url = `nats://127.0.0.1:${port}`;
  const patient = await connectNats(url, "patient");
  const waiting = await connectNats(url, "waiting", { outageSeconds: 1 });
  await server[Symbol.asyncDispose]();
  const away = /the NATS server at 127\.0\.0\.1:\d+ has been unreachable for 1 s/;
  const reason = await waiting.closed;
  assert.ok(reason instanceof TransientError);
  assert.match(reason.message, away);
  await assert.rejects(waiting.request("news", text("?"), 5), away);
  assert.ok(!waiting.isConnected);
  await using _again = await startServer({ port });
  while (!patient.isConnected) await new Promise((resolve) => setTimeout(resolve, 20));
  assert.ok(patient.reconnectedAt! > 0);
  await patient.close();
  await waiting.close();
});

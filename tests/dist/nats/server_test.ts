/** @module */

import assert from "node:assert/strict";
import { connectNats } from "../../../src/dist/nats/transport.ts";
import { keepNatsServer, startNatsServer } from "../../../src/dist/nats/server.ts";
import { ConfigError, RunError } from "../../../src/errors.ts";
import { descendants } from "../../run/support/runs.ts";

const isListening = async (port: number) => {
  try {
    (await Deno.connect({ hostname: "127.0.0.1", port })).close();
    return true;
  } catch (error) {
    assert.ok(error instanceof Deno.errors.ConnectionRefused);
    return false;
  }
};

async function until(condition: () => Promise<boolean>, seconds: number): Promise<void> {
  for (const end = performance.now() + 1000 * seconds; performance.now() < end;) {
    if (await condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.fail(`it did not happen within ${seconds} s`);
}

Deno.test("a NATS server starts on a free port of the loopback interface and ends when disposed of", async () => {
  let port: number;
  {
    await using server = await startNatsServer();
    ({ port } = server.address);
    assert.equal(server.address.hostname, "127.0.0.1");
    const transport = await connectNats(server.url, "test");
    assert.equal(transport.maxPayload, 1024 * 1024);
    await transport.close();
  }
  assert.ok(!await isListening(port));
});

Deno.test("a NATS server does not outlive an owner that is killed, and leaves no files", async () => {
  const owner = `
    const { startNatsServer } = await import(${
    JSON.stringify(new URL("../../../src/dist/nats/server.ts", import.meta.url).href)
  });
    const server = await startNatsServer();
    console.log(server.address.port);
    await new Promise(() => setInterval(() => {}, 1000));
  `;
  const temporary = await Deno.makeTempDir();
  const child = new Deno.Command(Deno.execPath(), {
    args: ["eval", owner],
    env: { TMPDIR: temporary },
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const reader = child.stdout.getReader();
  const { value } = await reader.read();
  const port = Number(new TextDecoder().decode(value));
  assert.ok(await isListening(port));
  child.kill("SIGKILL");
  await child.status;
  await reader.cancel();
  await until(async () => !await isListening(port), 5);
  await until(async () => (await Array.fromAsync(Deno.readDir(temporary))).length === 0, 5);
  await Deno.remove(temporary);
});

Deno.test("a server that ends at once is restarted a few times with growing delays; then the reason is reported", async () => {
  const folder = await Deno.makeTempDir();
  const restarts: number[] = [];
  await using server = await keepNatsServer(
    { storeFolder: `${folder}/store` },
    () => restarts.push(performance.now()),
  );
  await Deno.remove(`${folder}/store`, { recursive: true });
  await Deno.writeTextFile(`${folder}/store`, "a file where the store should be");
  const process = descendants(Deno.pid).find(({ command }) => /^\S*nats-server /.test(command));
  const killedAt = performance.now();
  Deno.kill(process!.pid, "SIGKILL");
  assert.match(await server.exited, /it ended 7 times in a row; its last output was:\n[^]*not a directory/);
  const pauses = restarts.map((at, i) => at - (restarts[i - 1] ?? killedAt));
  assert.equal(pauses.length, 6);
  pauses.forEach((pause, i) => assert.ok(pause >= 100 * 2 ** i - 10, `${pauses}`));
  await Deno.remove(folder, { recursive: true });
});

Deno.test("a server that is being restarted while it is stopped is not left behind", async () => {
  const restarted = Promise.withResolvers<void>();
  const server = await keepNatsServer({}, () => restarted.resolve());
  const process = descendants(Deno.pid).find(({ command }) => /^\S*nats-server /.test(command));
  Deno.kill(process!.pid, "SIGKILL");
  await restarted.promise;
  await server[Symbol.asyncDispose]();
  assert.ok(!await isListening(server.address.port));
});

Deno.test("a port in use is reported", async () => {
  await using server = await startNatsServer();
  await assert.rejects(
    startNatsServer({ listen: server.address }),
    (error: Error) =>
      error instanceof RunError &&
      error.message.includes(`127.0.0.1:${server.address.port}: the port is in use`),
  );
});

Deno.test("a wrong token is reported, without showing it", async () => {
  await using server = await startNatsServer();
  const url = `nats://wrong-secret@127.0.0.1:${server.address.port}`;
  await assert.rejects(
    connectNats(url, "test"),
    (error: Error) =>
      error instanceof RunError && /does not accept the token/.test(error.message) &&
      !error.message.includes("wrong-secret"),
  );
});

Deno.test("a server that is not running is reported", async () => {
  const started = performance.now();
  await assert.rejects(
    connectNats("nats://127.0.0.1:1", "test"),
    /could not connect to a NATS server at 127.0.0.1:1/,
  );
  assert.ok(performance.now() - started < 15_000, "not only when the attempt times out");
});

Deno.test("an invalid address is rejected", async () => {
  for (const url of ["127.0.0.1:4222", "http://127.0.0.1:4222", "nats://", ""]) {
    await assert.rejects(connectNats(url, "test"), ConfigError);
  }
});

Deno.test("over NATS a request without a subscriber returns at once, one without an answer after its timeout", async () => {
  await using server = await startNatsServer();
  const transport = await connectNats(server.url, "test");
  const started = performance.now();
  assert.equal(await transport.request("nobody.here", new Uint8Array(), 30), "nobody");
  assert.ok(performance.now() - started < 20_000, "not only after its time");
  const unsubscribe = transport.subscribe("mute", () => {});
  assert.equal(await transport.request("mute", new Uint8Array(), 0.1), "silence");
  unsubscribe();
  assert.equal(await transport.request("mute", new Uint8Array(), 5), "nobody");
  await transport.close();
  assert.equal(await transport.closed, undefined);
});

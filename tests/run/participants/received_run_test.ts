/** A joiner checks what a coordinator sends about its run. @module */

import assert from "node:assert/strict";
import { configHash, resolveConfig, runPart } from "../../../src/config/config.ts";
import { coordinate } from "../../../src/dist/coordinator.ts";
import { connectNats } from "../../../src/dist/nats/transport.ts";
import { startNatsServer } from "../../../src/dist/nats/server.ts";
import { RunError } from "../../../src/errors.ts";
import { startWorker } from "../../../src/run/participants/worker.ts";
import { checkedConfig, knownSourceOf } from "../../../src/run/participants/received_run.ts";
import { RUN_ID, toyPlan } from "../../dist/support/toy.ts";
import { Workplace } from "../support/runs.ts";

const RUN = runPart(resolveConfig({ model: { dim: 16 } }));
const told = (config: unknown, hash = configHash(RUN)) => ({
  config: JSON.parse(JSON.stringify(config)) as Record<string, unknown>,
  configHash: hash,
  id: RUN_ID,
  origin: { step: 0, samples: 0 },
  startStep: 0,
});

function rejection(config: unknown, hash?: string): string {
  try {
    checkedConfig(told(config, hash), "demo");
  } catch (error) {
    assert.ok(error instanceof RunError, `${error}`);
    return error.message;
  }
  assert.fail("it was taken");
}

Deno.test("a configuration that a coordinator tells is taken as it is where it is complete", () => {
  assert.deepEqual(checkedConfig(told(RUN), "demo"), RUN);
  const documents = runPart(resolveConfig({ data: { documents: true, seqLen: 300, lengths: [10, 100] } }));
  assert.deepEqual(checkedConfig(told(documents, configHash(documents)), "demo"), documents);
});

Deno.test("a configuration of another version is rejected, with unknown and missing keys and the version here", () => {
  const message = rejection({ ...RUN, train: { ...RUN.train, lookahead: 3 }, future: {} });
  assert.match(message, /configuration of the run "demo" can't be used here:\n/);
  assert.match(message, /\n {2}train\.lookahead: unknown/);
  assert.match(message, /\n {2}future: unknown/);
  assert.match(message, /flashmob \d+\.\d+\.\d+ is here; use the same flashmob on all machines/);
  const { seed: _, ...train } = RUN.train;
  assert.match(
    rejection({ ...RUN, train }),
    /train\.seed: expected a whole number of at least 0, found nothing/,
  );
  const { dist: __, ...withoutDist } = RUN;
  assert.match(rejection(withoutDist), /dist\.codec: expected float32, bfloat16 or int8, found nothing/);
});

Deno.test("a configuration with wrong values, a machine's part or another hash is rejected", () => {
  assert.match(
    rejection({ ...RUN, train: { ...RUN.train, steps: "many" } }),
    /train\.steps: expected .* found "many"/,
  );
  assert.match(
    rejection({ ...RUN, train: { ...RUN.train, microBatch: 3 } }),
    /microBatch: expected a divisor/,
  );
  assert.match(rejection({ ...RUN, machine: { out: "/etc" } }), /machine: unknown/);
  assert.match(rejection(RUN, "0".repeat(64)), /has another hash here than at its coordinator/);
  for (const value of [{}, [], { model: null }, { ...RUN, data: 7 }]) rejection(value);
});

Deno.test("a configuration's texts can't steer a terminal", () => {
  const message = rejection({ ...RUN, "\u001b[2Jx": 1, eval: { every: "\u009b31m" } });
  assert.doesNotMatch(message.replaceAll("\n", ""), /\p{Cc}/u);
});

Deno.test("only a text that flashmob has a name for is looked up where a joiner has no --data", () => {
  const sourceFor = (source: string) => knownSourceOf({ ...RUN, data: { ...RUN.data, source } });
  assert.equal(sourceFor("sotu"), "sotu");
  assert.equal(sourceFor("enwik8"), "enwik8");
  for (const source of ["/etc/passwd", "./sotu", "sotu/", "constructor", "../enwik8", "~/.ssh/id_rsa"]) {
    assert.equal(sourceFor(source), undefined, source);
  }
});

Deno.test("a coordinator that names a file of the joiner's gets nothing of it: the file is not opened", async () => {
  await using place = await Workplace.open();
  await using server = await startNatsServer();
  const secret = `${place.folder}/secret`; // a pipe: who opens it is still waiting
  assert.ok(new Deno.Command("mkfifo", { args: [secret] }).outputSync().success);
  const config = runPart(resolveConfig({ data: { source: secret } }));
  const listening = Promise.withResolvers<void>();
  const stop = new AbortController();
  await using end = await connectNats(server.url, "coordinator").then((transport) => ({
    transport,
    [Symbol.asyncDispose]: () => transport.close(),
  }));
  const plan = toyPlan({ run: "demo", config, configHash: configHash(config) });
  const text = { pieces: [new Uint8Array(9)], files: [9], sha256: "9".repeat(64) };
  const run = coordinate(end.transport, plan, { text, signal: stop.signal, onListening: listening.resolve });
  await listening.promise;
  const options = {
    url: server.url,
    run: "demo",
    member: "w",
    folder: place.folder,
    backend: "cpu",
  } as const;
  for (const atHome of [false, true]) {
    const leave = new AbortController();
    const onStatus = (text: string) => /fetches the run's text/.test(text) && leave.abort();
    await assert.rejects(startWorker({ ...options, atHome, signal: leave.signal, onStatus }), {
      name: "AbortError",
    });
  }
  stop.abort();
  await run;
});

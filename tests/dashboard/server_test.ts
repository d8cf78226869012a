/** What the dashboard's server answers, and what it sends while a run goes on. @module */

import assert from "node:assert/strict";
import { openDashboard } from "../../src/dashboard/server.ts";
import { membersLine, OLD_RUN, RunsFolder, stepLine, timeAt } from "../watch/support/folders.ts";

const serve = (folder: string) => openDashboard(folder, { hostname: "127.0.0.1", port: 0 });

// deno-lint-ignore no-explicit-any
async function ask(url: string): Promise<{ status: number; json: any }> {
  const response = await fetch(url);
  return { status: response.status, json: await response.json() };
}

/** Messages of a stream, as they come. */
class Listener implements AsyncDisposable {
  readonly #page = new AbortController();
  #text = "";
  /** Those that nobody has asked for yet. */
  readonly #waiting: { event: string; data: string }[] = [];
  #reader!: ReadableStreamDefaultReader<string>;

  static async open(url: string): Promise<Listener> {
    const listener = new Listener();
    const { body } = await fetch(url, { signal: listener.#page.signal });
    listener.#reader = body!.pipeThrough(new TextDecoderStream()).getReader();
    return listener;
  }

  /** The next message of a kind, whatever came of others meanwhile. */
  // deno-lint-ignore no-explicit-any
  async next(kind: string): Promise<any> {
    for (;;) {
      const at = this.#waiting.findIndex(({ event }) => event === kind);
      if (at >= 0) return JSON.parse(this.#waiting.splice(at, 1)[0].data);
      this.#text += (await this.#reader.read()).value;
      const messages = this.#text.split("\n\n");
      this.#text = messages.pop()!;
      for (const message of messages) {
        const [, event, data] = /^event: (\w+)\ndata: (.*)$/.exec(message) ?? [];
        if (event !== undefined) this.#waiting.push({ event, data });
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#page.abort();
    await this.#reader.read().catch(() => {});
  }
}

Deno.test("the list, a run, its curves and what two differ in", async () => {
  await using folder = await RunsFolder.open();
  const a = await folder.add("a", {
    steps: 50,
    config: { optimizer: { learningRate: 0.002 }, id: "private" },
  });
  await folder.add("sweep/b", { steps: 10 });
  await a.append(
    "events.jsonl",
    ...Array.from({ length: 305 }, (_, i) => (
      { at: timeAt(i), event: "warning", step: 1, text: `<script>${i}` }
    )),
  );
  await a.append(
    "members.jsonl",
    membersLine(50, { "<script>": { computing: 5, exchanging: 5, waiting: 0 } }),
  );
  await using server = serve(folder.path);
  const { json: { runs } } = await ask(`${server.url}api/runs`);
  assert.deepEqual(runs.map(({ name, step }: { name: string; step: number }) => [name, step]), [[
    "sweep/b",
    10,
  ], ["a", 50]]);

  const { json: run } = await ask(`${server.url}api/run?name=a`);
  assert.deepEqual(run.item.differs, { "train.steps": 100, "optimizer.learningRate": 0.002 });
  assert.deepEqual([run.card, run.config], [null, {
    train: { steps: 100 },
    optimizer: { learningRate: 0.002 },
  }]);
  assert.deepEqual([run.events.length, run.eventsBefore, run.events.at(-1).text], [300, 5, "<script>304"]);
  assert.equal(run.members.members["<script>"].computing, 5);

  const { json: curves } = await ask(`${server.url}api/curves?name=a&points=5&from=11&to=20`);
  assert.deepEqual(curves.columns.step, [12, 14, 16, 18, 20]);
  assert.deepEqual(curves.usage.computing, [0.5]);
  const { json: all } = await ask(`${server.url}api/curves?name=sweep%2Fb`);
  assert.equal(all.columns.step.length, 10);

  const { json: { differs } } = await ask(`${server.url}api/compare?a=a&b=sweep/b`);
  assert.deepEqual(differs, [{ path: "optimizer.learningRate", a: 0.002 }]);
});

Deno.test("a number that is not finite arrives as null", async () => {
  await using folder = await RunsFolder.open();
  const a = await folder.add("a");
  await a.append("metrics.jsonl", stepLine(1, { loss: NaN, applied: false }), { step: 1, valLoss: NaN });
  await using server = serve(folder.path);
  const { json: { columns, skipped, validation } } = await ask(`${server.url}api/curves?name=a`);
  assert.deepEqual([columns.loss, skipped, validation.valLoss], [[null], [1], [null]]);
  assert.equal((await ask(`${server.url}api/run?name=a`)).json.item.loss, null);
});

Deno.test("a run of flashmob 0.1 is served by its own folder's name", async () => {
  await using server = serve(OLD_RUN);
  const { json: { runs } } = await ask(`${server.url}api/runs`);
  assert.deepEqual(runs.map(({ name }: { name: string }) => name), ["run"]);
  assert.deepEqual((await ask(`${server.url}api/curves?name=run`)).json.columns.step, [1, 2, 3, 4]);
});

Deno.test("what is asked wrongly is answered for people, and no name leads out", async () => {
  await using folder = await RunsFolder.open();
  await folder.add("a", { steps: 1 });
  await using server = serve(folder.path);
  const at = (path: string) => ask(server.url + path);
  const wrong: [path: string, status: number, error: RegExp][] = [
    ["api/run", 400, /name is missing/],
    ["api/run?name=../../etc", 404, /no run of the name "..\/..\/etc"/],
    ["api/run?name=%2e%2e%2f%2e%2e%2fetc", 404, /no run/],
    ["api/curves?name=a&points=0", 400, /points: expected a whole number from 1 to 20000, found "0"/],
    ["api/curves?name=a&points=1e3", 400, /points/],
    ["api/curves?name=a&from=-1", 400, /from/],
    ["api/compare?a=a", 400, /b is missing/],
    ["api/stream", 400, /expected 1 to 32 runs, found 0/],
    [`api/stream?${Array.from({ length: 33 }, (_, i) => `name=${i}`).join("&")}`, 400, /found 33/],
    ["api/stream?name=b", 404, /no run/],
    ["api/constructor", 404, /no such page/],
    ["page_files.ts", 404, /no such page/],
    ["..%2fserver.ts", 404, /no such page/],
    ["config.yaml", 404, /no such page/],
  ];
  for (const [path, status, error] of wrong) {
    const found = await at(path);
    assert.equal(found.status, status, path);
    assert.match(found.json.error, error, path);
  }
});

Deno.test("uPlot comes from here, with the right types", async () => {
  await using folder = await RunsFolder.open();
  await using server = serve(folder.path);
  for (
    const [path, type, begins] of [["uplot.js", /javascript/, "/*! "], [
      "uplot.css",
      /css/,
      ".uplot",
    ]] as const
  ) {
    const response = await fetch(server.url + path);
    assert.match(response.headers.get("content-type")!, type);
    assert.ok((await response.text()).startsWith(begins));
  }
});

Deno.test("a stream grows with the run, and says when a resume has discarded steps", async () => {
  await using folder = await RunsFolder.open();
  const run = await folder.add("a", { steps: 3 });
  await folder.add("quiet", { steps: 1 });
  await using server = serve(folder.path);
  await using page = await Listener.open(`${server.url}api/stream?name=quiet&name=a`);
  assert.deepEqual((await page.next("item")).name, "quiet");
  assert.equal((await page.next("item")).item.step, 3);

  const lines = Array.from(
    { length: 300 },
    (_, i) => stepLine(i + 4, i === 0 ? { loss: NaN, applied: false } : {}),
  );
  await run.append("metrics.jsonl", ...lines, { at: timeAt(3), step: 303, valLoss: 2.5 });
  await run.append("events.jsonl", { at: timeAt(1), event: "joined", step: 3, member: "b", members: 2 });
  await run.append("members.jsonl", membersLine(303, { b: { computing: 1, exchanging: 0, waiting: 1 } }));
  const { name, columns, skipped } = await page.next("steps");
  assert.deepEqual([name, columns.step.length, columns.step.at(-1), skipped], ["a", 150, 303, [4]]);
  assert.deepEqual((await page.next("evaluated")).validation.valLoss, [2.5]);
  assert.equal((await page.next("event")).event.member, "b");
  assert.deepEqual((await page.next("usage")).usage.waiting, [0.5]);
  assert.equal((await page.next("members")).line.step, 303);
  let item = (await page.next("item")).item;
  while (item.best === null) item = (await page.next("item")).item; // one may have come in between
  assert.equal(item.best.valLoss, 2.5);

  await run.discardAfter(2);
  assert.deepEqual(await page.next("reset"), { name: "a" });
  await run.append("metrics.jsonl", stepLine(3));
  assert.deepEqual((await page.next("steps")).columns.step, [3]);
});

Deno.test("a folder that is not there yet holds no runs, and then the one that begins", async () => {
  await using folder = await RunsFolder.open();
  await using server = serve(`${folder.path}/a`);
  assert.deepEqual((await ask(`${server.url}api/runs`)).json, { runs: [] });
  await folder.add("a", { steps: 2 });
  assert.equal((await ask(`${server.url}api/runs`)).json.runs[0].step, 2);
});

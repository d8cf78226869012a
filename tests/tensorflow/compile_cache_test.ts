import assert from "node:assert/strict";
import { CompileCache } from "../../src/tensorflow/compile_cache.ts";

/** A cache in a folder of its own, and the path of a file in it. */
async function withCache(
  test: (cache: CompileCache, file: (name: string) => string) => Promise<void>,
  limit?: number,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  const before = Deno.env.get("FLASHMOB_CACHE");
  Deno.env.set("FLASHMOB_CACHE", folder);
  try {
    const cache = new CompileCache("a library", limit);
    await cache.open();
    await test(cache, (name) => `${cache.folder}/${name}`);
  } finally {
    if (before === undefined) Deno.env.delete("FLASHMOB_CACHE");
    else Deno.env.set("FLASHMOB_CACHE", before);
    await Deno.remove(folder, { recursive: true });
  }
}

const names = (file: (name: string) => string) =>
  [...Deno.readDirSync(file("."))].map(({ name }) => name).filter((name) => name.endsWith(".pb")).sort();

Deno.test("what was compiled stays, what is damaged or of unknown origin is deleted", () =>
  withCache(async (cache, file) => {
    await cache.compileOnce(async () => {
      for (const name of ["a.pb", "b.pb", "c.pb"]) await Deno.writeTextFile(file(name), `code ${name}`);
    });
    await cache.open();
    assert.deepEqual(names(file), ["a.pb", "b.pb", "c.pb"]);
    await Deno.truncate(file("a.pb"), 3);
    await Deno.writeTextFile(file("b.pb"), "code B.pb");
    await Deno.writeTextFile(file("d.pb"), "half written by a process that died");
    await cache.open();
    assert.deepEqual(names(file), ["c.pb"]);
  }));

Deno.test("of more than the cache may hold the oldest files go", () =>
  withCache(async (cache, file) => {
    const write = async (name: string, bytes: number, minute: number) => {
      await Deno.writeFile(file(name), new Uint8Array(bytes));
      await Deno.utime(file(name), new Date(), new Date(2026, 0, 1, 0, minute));
    };
    await cache.compileOnce(async () => {
      await write("a.pb", 400, 2);
      await write("b.pb", 300, 1);
      await write("c.pb", 300, 3);
    });
    assert.deepEqual(names(file), ["a.pb", "b.pb", "c.pb"]);
    await cache.compileOnce(() => write("d.pb", 350, 4));
    assert.deepEqual(names(file), ["c.pb", "d.pb"]);
    await cache.open();
    assert.deepEqual(names(file), ["c.pb", "d.pb"]);
  }, 1000));

Deno.test("without a readable list nothing in the cache is trusted", () =>
  withCache(async (cache, file) => {
    await cache.compileOnce(() => Deno.writeTextFile(file("a.pb"), "code"));
    await Deno.writeTextFile(file("checksums.json"), "{");
    await cache.open();
    assert.deepEqual(names(file), []);
  }));

Deno.test("one process compiles while the others wait; then they load at the same time", () =>
  withCache(async (cache) => {
    const events: string[] = [];
    const work = (name: string, milliseconds: number) => async () => {
      events.push(`${name} starts`);
      await new Promise((resolve) => setTimeout(resolve, milliseconds));
      events.push(`${name} ends`);
    };
    const waits: string[] = [];
    const first = cache.compileOnce(work("first", 300), { onWait: () => waits.push("first") });
    await new Promise((resolve) => setTimeout(resolve, 50));
    const others = ["second", "third"].map((name) =>
      cache.compileOnce(work(name, 400), { onWait: () => waits.push(name) })
    );
    await Promise.all([first, ...others]);
    assert.deepEqual(waits.sort(), ["second", "third"]); // in any order
    assert.deepEqual(events.slice(0, 2), ["first starts", "first ends"]);
    assert.deepEqual(events.slice(2, 4).map((event) => event.split(" ")[1]), ["starts", "starts"]);
  }));

Deno.test("waiting for another process ends with the signal", () =>
  withCache(async (cache) => {
    const stop = new AbortController();
    let end = () => {};
    const first = cache.compileOnce(() => new Promise((resolve) => end = resolve));
    await new Promise((resolve) => setTimeout(resolve, 50));
    const second = cache.compileOnce(() => assert.fail("it did not wait"), { signal: stop.signal });
    stop.abort();
    await assert.rejects(second, { name: "AbortError" });
    end();
    await first;
  }));

Deno.test("of TensorFlow's flags the one that names another folder is left out", () =>
  withCache((cache) => {
    const flags = ["--tf_xla_clustering_debug", "--tf_xla_persistent_cache_directory=/elsewhere"];
    assert.deepEqual(cache.addTo(flags), [
      "--tf_xla_clustering_debug",
      `--tf_xla_persistent_cache_directory="${cache.folder}"`,
    ]);
    return Promise.resolve();
  }));

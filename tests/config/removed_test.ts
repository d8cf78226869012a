import assert from "node:assert/strict";
import { loadConfig, resolveConfig } from "../../src/config/config.ts";
import { ConfigError } from "../../src/errors.ts";

/** What a configuration file with this text comes to, and the lines that are said of it. */
async function load(text: string) {
  const path = await Deno.makeTempFile({ suffix: ".yaml" });
  try {
    await Deno.writeTextFile(path, text);
    const said: string[] = [];
    return { value: await loadConfig(path, (line) => said.push(line)), said, path };
  } finally {
    await Deno.remove(path);
  }
}

Deno.test("a key that was removed is dropped with a line where that changes nothing", async () => {
  const { value, said, path } = await load("dist: { codec: int8, rounding: nearest }");
  assert.deepEqual(value, { dist: { codec: "int8" } });
  assert.deepEqual(said, [
    `${path}: dist.rounding: dropped, since int8 always rounds to nearest, and error feedback corrects the rounding errors`,
  ]);
  assert.equal(resolveConfig(value).dist.codec, "int8");
});

Deno.test("one whose removal changes the result is rejected, with the reason and the way out", async () => {
  await assert.rejects(load("dist: { rounding: stochastic }"), (error) => {
    assert.ok(error instanceof ConfigError);
    assert.match(
      error.message,
      /dist\.rounding: found "stochastic", but it was removed: .*; delete it to continue/,
    );
    return true;
  });
  assert.throws(
    () => resolveConfig({ dist: { rounding: "stochastic" } }),
    /dist\.rounding: it was removed: int8/,
  );
});

Deno.test("a file without it says nothing, whatever stands in its place", async () => {
  for (const text of ["", "dist: 3", "dist: []", "dist: { codec: bfloat16 }", "[1]"]) {
    assert.deepEqual((await load(text)).said, [], text);
  }
});

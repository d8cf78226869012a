import assert from "node:assert/strict";
import { train } from "../../mod.ts";
import { cacheFolder } from "../../src/packages/packages.ts";
import { Workplace } from "./support/runs.ts";

Deno.test("a run with a cold, a warm and a damaged cache of compiled code ends with the same bits", async () => {
  await using place = await Workplace.open();
  const before = Deno.env.get("FLASHMOB_CACHE");
  const cache = `${place.folder}/a cache: "100 %20", 'é' \\ $HOME #\n`; // all that a path may hold
  await Deno.mkdir(cache);
  await Deno.symlink(`${cacheFolder()}/packages`, `${cache}/packages`); // only compiled code is new
  Deno.env.set("FLASHMOB_CACHE", cache); // for the workers, each a process of its own
  const compiled = () => {
    const [{ name: folder }] = Deno.readDirSync(`${cache}/xla`);
    return [...Deno.readDirSync(`${cache}/xla/${folder}`)]
      .filter(({ name }) => name.endsWith(".pb"))
      .map(({ name }) => `${cache}/xla/${folder}/${name}`);
  };
  try {
    const run = (name: string) => train(place.config(name, { machine: { workers: 1 }, train: { steps: 2 } }));
    const cold = await run("cold");
    const files = compiled();
    assert.ok(files.length >= 3, "the gradient, the loss, the optimizer");
    const written = files.map((file) => Deno.statSync(file).mtime!.getTime());
    const warm = await run("warm");
    assert.deepEqual(compiled().map((file) => Deno.statSync(file).mtime!.getTime()), written);
    for (const file of files) {
      const bytes = await Deno.readFile(file);
      bytes[bytes.length >> 1] ^= 1;
      await Deno.writeFile(file, bytes);
    }
    const damaged = await run("damaged");
    assert.deepEqual([warm.paramsHash, damaged.paramsHash], [cold.paramsHash, cold.paramsHash]);
  } finally {
    if (before === undefined) Deno.env.delete("FLASHMOB_CACHE");
    else Deno.env.set("FLASHMOB_CACHE", before);
  }
});

import assert from "node:assert/strict";
import { SMALL, start } from "./support/commands.ts";
import { metricsOf, Workplace } from "./support/runs.ts";

/** All that a name on Linux may hold, as far as it is UTF-8. */
const ODD = `a "b" 'c' $HOME \${HOME} \`id\` %s%20 \\ #d; é漢 *?[x] -- \ne`;

Deno.test("a run's folder, its text and the temporary folder may have any name", async () => {
  await using place = await Workplace.open();
  const folder = `${place.folder}/${ODD}`, text = `${folder}/${ODD}.txt`, run = `${folder}/run ${ODD}`;
  await Deno.mkdir(folder);
  await Deno.rename(place.text, text);
  const before = Deno.env.get("TMPDIR");
  Deno.env.set("TMPDIR", folder); // the NATS server's files go there
  try {
    const succeeds = async (...[task, ...args]: Parameters<typeof start>) => {
      const { code, stdout, stderr } = await start(task, ...args).ended;
      assert.equal(code, 0, stderr);
      return stdout;
    };
    const machine = ["--workers=1", "--reducers=2", "--backend=cpu"];
    await succeeds("train", ...SMALL, "--data", text, "--out", run, "--steps=2", ...machine);
    await succeeds("train", "--resume", run, "--steps=3");
    assert.deepEqual(metricsOf(run).steps.map(({ step }) => step), [1, 2, 3]);
    await succeeds("convert", run, `${folder}/${ODD}.safetensors`);
    await succeeds("convert", `${folder}/${ODD}.safetensors`, `${folder}/imported`);
    const evaluate = (path: string) => succeeds("evaluate", path, "--data", text, "--context=24", "--json");
    assert.equal(await evaluate(`${folder}/imported`), await evaluate(run));
  } finally {
    if (before === undefined) Deno.env.delete("TMPDIR");
    else Deno.env.set("TMPDIR", before);
  }
});

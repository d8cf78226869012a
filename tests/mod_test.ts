/** The public API from a project outside this folder, as the README says. */

import assert from "node:assert/strict";
import { relative } from "node:path";
import { fileURLToPath } from "node:url";
import { Workplace } from "./run/support/runs.ts";

const ROOT = fileURLToPath(new URL("../", import.meta.url));

const PROGRAM = `
import { type ConfigInput, FLASHTransformer, initBackend, tf, train } from "@flashmob/flashmob";

const { backend } = await initBackend({ backend: "cpu" });
const model = new FLASHTransformer({ numTokens: 256, dim: 16, depth: 1, causal: true, groupSize: 4 }, { seed: 1 });
const logits: tf.Tensor3D = model.forward([[72, 101]]);
const config: ConfigInput = {
  model: { dim: 16, depth: 1, groupSize: 8, queryKeyDim: 8 },
  data: { source: Deno.args[0], seqLen: 24 },
  train: { steps: 1, batch: 2 },
  eval: { windows: 2 },
  machine: { workers: 1, backend: "cpu", out: "run" },
};
const { steps } = await train(config);
console.log(JSON.stringify({ backend, shape: logits.shape, steps }));
`;

for (
  const [what, settings] of Object.entries({
    links: { links: ["ROOT"] },
    imports: { imports: { "@flashmob/flashmob": "ROOT/mod.ts" } },
  })
) {
  Deno.test(`another project type checks and trains with flashmob by the ${what} of its deno.json`, async () => {
    await using place = await Workplace.open();
    const project = `${place.folder}/project`;
    await Deno.mkdir(project);
    const root = relative(project, ROOT);
    await Deno.writeTextFile(`${project}/deno.json`, JSON.stringify(settings).replace("ROOT", root));
    await Deno.writeTextFile(`${project}/main.ts`, PROGRAM);
    await Deno.copyFile(`${ROOT}deno.lock`, `${project}/deno.lock`); // the same packages, which are in the cache
    const run = async (...args: string[]) => {
      const options = { args, cwd: project, env: { NO_COLOR: "1" } };
      const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), options).output();
      assert.ok(success, new TextDecoder().decode(stderr));
      return new TextDecoder().decode(stdout);
    };
    await run("check", "--quiet", "main.ts");
    const said = await run("run", "--quiet", "--allow-all", "main.ts", place.text);
    assert.deepEqual(JSON.parse(said), { backend: "cpu", shape: [1, 2, 256], steps: 1 });
  });
}

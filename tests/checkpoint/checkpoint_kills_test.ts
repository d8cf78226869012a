import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { checkpointSteps, loadCheckpoint, newestCheckpoint } from "../../src/checkpoint/checkpoint.ts";
import { linesOf } from "../../src/run/processes/child.ts";
import { randomStream } from "../../src/prng.ts";
import { layout, stateAt } from "./checkpoint_saver.ts";

const saver = fileURLToPath(new URL("checkpoint_saver.ts", import.meta.url));

/** Saves until a random moment after the first checkpoint; returns the last step that was said to be saved. */
async function saveAndKill(folder: string, milliseconds: number): Promise<number> {
  const args = ["run", "--no-check", "--allow-read", "--allow-write", "--allow-env", saver, folder];
  const child = new Deno.Command(Deno.execPath(), { args, stdout: "piped", stderr: "piped" }).spawn();
  const words = new Response(child.stderr).text();
  let last = 0;
  for await (const line of linesOf(child.stdout)) {
    if (last === 0) setTimeout(() => child.kill("SIGKILL"), milliseconds);
    last = Number(line);
  }
  assert.equal((await child.status).signal, "SIGKILL", await words);
  assert.equal(await words, "", "the one who comes next finds nothing damaged");
  return last;
}

Deno.test("killed at random moments, what was saved can always be loaded, bit for bit, and nothing piles up", async () => {
  const folder = await Deno.makeTempDir({ prefix: "flashmob-test-" });
  try {
    const { uniform } = randomStream(1, "kills");
    for (let kill = 0; kill < 30; kill++) {
      const said = await saveAndKill(folder, 40 * uniform(kill));
      const newest = await newestCheckpoint(folder, assert.fail);
      assert.ok(newest !== undefined && newest >= said, `${newest}, and ${said} was saved`);
      const { state } = await loadCheckpoint(folder, newest, layout);
      assert.deepEqual(state, stateAt(newest));
      const names = [...Deno.readDirSync(folder)].map(({ name }) => name);
      assert.ok(names.length <= 4, `${names}`); // two are kept, one may be half written, one half deleted
      assert.ok((await checkpointSteps(folder)).length >= 1);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

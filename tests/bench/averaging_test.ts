import assert from "node:assert/strict";
import { start } from "../run/support/commands.ts";

Deno.test("bench:averaging measures, with the coordinator and with reducers", async () => {
  const args = ["--workers=2", "--reducers=0,2", "--codecs=int8", "--rounds=1", "--python=false", "--json"];
  const { code, stdout, stderr } = await start("bench:averaging", ...args).ended;
  assert.equal(code, 0, stderr);
  const rows = JSON.parse(stdout) as { workers: number; reducers: number; seconds: number }[];
  assert.deepEqual(rows.map(({ workers, reducers }) => [workers, reducers]), [[2, 0], [2, 2]]);
  for (const { seconds } of rows) assert.ok(seconds > 0);
});

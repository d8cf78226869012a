import assert from "node:assert/strict";
import { ConfigError } from "../../src/errors.ts";
import { metricsCsv } from "../../src/watch/csv.ts";
import { start } from "../run/support/commands.ts";

const OLD_RUN = "tests/fixtures/run-0.1/run";
const HEAD =
  "step,at,loss,valLoss,gradNorm,lr,applied,tokens,tokensPerSecond,elapsed,bytesSent,bytesReceived," +
  "workers,generation";

/** A run's folder with these lines of metrics. */
async function folderOf(...lines: object[]) {
  const path = await Deno.makeTempDir({ prefix: "flashmob-test-" });
  Deno.writeTextFileSync(`${path}/config.yaml`, "");
  Deno.writeTextFileSync(`${path}/metrics.jsonl`, lines.map((line) => JSON.stringify(line) + "\n").join(""));
  return { path, [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }) };
}

const step = {
  at: "2026-11-28T07:00:00.000Z",
  tokens: 64,
  gradNorm: 0.5,
  applied: true,
  workers: 2,
  generation: 1,
};
const rest = { bytesSent: 8, bytesReceived: 9, tokensPerSecond: 32, lr: 1e-3, elapsed: 2 };

Deno.test("a row of the CSV is a step with its evaluation, by the names of metrics.jsonl", async () => {
  await using run = await folderOf(
    { step: 1, loss: 5.5, ...step, ...rest },
    { step: 2, loss: "NaN", ...step, ...rest, gradNorm: "Infinity", applied: false },
    { at: "2026-11-28T07:00:09.000Z", step: 2, valLoss: 6 },
  );
  Deno.writeTextFileSync(`${run.path}/metrics.jsonl`, '{"step":3,"lo', { append: true });
  assert.equal(
    await metricsCsv(run.path),
    `${HEAD}\n` +
      "1,2026-11-28T07:00:00.000Z,5.5,,0.5,0.001,true,64,32,2,8,9,2,1\n" +
      "2,2026-11-28T07:00:00.000Z,NaN,6,Infinity,0.001,false,64,32,2,8,9,2,1\n",
  );
});

Deno.test("a run of flashmob 0.1 is exported; a folder without a run is refused", async () => {
  const lines = (await metricsCsv(OLD_RUN)).trimEnd().split("\n");
  assert.deepEqual(lines.map((line) => line.split(",")[0]), ["step", "1", "2", "3", "4"]);
  assert.match(lines[1], /^1,,5\.722817420959473,,0\.8604579069952687,0\.001,true,64,/);
  await assert.rejects(metricsCsv("tests/fixtures"), (error) => {
    assert.ok(error instanceof ConfigError);
    assert.match(error.message, /tests\/fixtures: there is no run in it to export/);
    return true;
  });
});

Deno.test("deno task export-run writes to standard output, or a new file, and never over one", async () => {
  await using run = await folderOf({ step: 1, loss: 5.5, ...step, ...rest });
  const csv = await metricsCsv(run.path);
  const shown = await start("export-run", run.path, "--csv", "-").ended;
  assert.deepEqual([shown.code, shown.stdout], [0, csv], shown.stderr);
  const out = `${run.path}/curves.csv`;
  const written = await start("export-run", run.path, "--csv", out).ended;
  assert.deepEqual([written.code, written.stdout, Deno.readTextFileSync(out)], [0, "", csv], written.stderr);
  Deno.writeTextFileSync(out, "mine");
  const refused = await start("export-run", run.path, "--csv", out).ended;
  assert.deepEqual([refused.code, Deno.readTextFileSync(out)], [2, "mine"]);
  assert.match(refused.stderr, /curves\.csv: is there already; name another file/);
  const unknown = await start("export-run", run.path, "--json").ended;
  assert.equal(unknown.code, 2);
  assert.match(unknown.stderr, /--json: unknown\n.*--csv is missing/s);
});

import assert from "node:assert/strict";
import { parseCoordinator, parseTrain } from "../../src/cli/command_line.ts";
import { parseDashboard, parseProfile, parseRuns } from "../../src/cli/watch_command_line.ts";

Deno.test("runs are looked for in runs/, or in the folder that is named", () => {
  assert.deepEqual(parseDashboard([]), {
    ...{ action: "dashboard", folder: "runs", hostname: "127.0.0.1", port: undefined },
  });
  assert.deepEqual(parseDashboard(["a", "--port", "0", "--host=0.0.0.0"]), {
    ...{ action: "dashboard", folder: "a", hostname: "0.0.0.0", port: 0 },
  });
  assert.deepEqual(parseRuns([]), { action: "list", folder: "runs", sort: "started" });
  assert.deepEqual(parseRuns(["--by-loss", "a"]), { action: "list", folder: "a", sort: "loss" });
  assert.deepEqual(parseRuns(["compare", "a", "b"]), { action: "compare", a: "a", b: "b" });
  assert.deepEqual(parseProfile(["a"]), { action: "profile", folder: "a" });
});

Deno.test("what is not understood is answered with the usage", () => {
  assert.throws(() => parseRuns(["a", "b"]), /expected FOLDER, found a, b; usage: deno task runs/);
  assert.throws(() => parseRuns(["compare", "a"]), /expected RUN and RUN, found a; usage/);
  assert.throws(() => parseRuns(["compare"]), /expected RUN and RUN, found none/);
  assert.throws(() => parseProfile([]), /expected RUN, found none/);
  assert.throws(() => parseDashboard(["--port", "70000"]), /--port: expected a whole number from 0 to 65535/);
  assert.throws(() => parseDashboard(["--ports", "7"]), /--ports: unknown; did you mean --port\?/);
  assert.equal(parseRuns(["compare", "--help"]).action, "help");
});

Deno.test("--dashboard says whether a run has a page; where the run's folder is elsewhere there is none", () => {
  const of = (...args: string[]) => (parseTrain(args) as { dashboard?: boolean }).dashboard;
  assert.deepEqual([of(), of("--dashboard"), of("--dashboard=false"), of("--resume", "a", "--dashboard")], [
    ...[undefined, true, false, true],
  ]);
  assert.throws(() => parseTrain(["--dashboard=no"]), /--dashboard: expected true or false, found "no"/);
  const join = ["--join", "nats://t@h:1", "--run", "r"];
  assert.throws(() => parseTrain([...join, "--dashboard"]), /--join with --dashboard/);
  assert.equal(parseTrain([...join, "--dashboard=false"]).action, "join");
  const reduce = ["--reducer", "--nats", "nats://t@h:1", "--run", "r", "--dashboard"];
  assert.throws(() => parseCoordinator(reduce), /--reducer with --dashboard/);
});

import assert from "node:assert/strict";
import settings from "../../deno.json" with { type: "json" };
import { WORKER_ENVIRONMENT } from "../../src/tensorflow/memory.ts";

Deno.test("deno task train sets the variables that workers get: a single process trains with them, too", () => {
  for (const [name, value] of Object.entries(WORKER_ENVIRONMENT)) {
    assert.ok(settings.tasks.train.command.startsWith(`${name}=${value} deno run`));
  }
});

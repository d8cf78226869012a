/**
 * A coordinator or worker process as the launcher starts it (src/run/children.ts says how they talk). Not for people:
 * they use `deno task train` and `deno task coordinator`.
 *
 * @module
 */

import { linesOf } from "../src/run/children.ts";
import { type ChildOrder, failureOf, runChild } from "../src/run/participants.ts";

const lines = linesOf(Deno.stdin.readable);
const first = await lines.next();
if (first.done) Deno.exit(1); // the launcher went before it gave an order
(async () => {
  while (!(await lines.next()).done);
  Deno.exit(130); // the launcher is gone
})();

const stop = new AbortController();
for (const signal of ["SIGTERM", "SIGINT"] as const) Deno.addSignalListener(signal, () => stop.abort());

function report(event: unknown): void {
  const bytes = new TextEncoder().encode(JSON.stringify(event) + "\n");
  for (let at = 0; at < bytes.length;) at += Deno.stdout.writeSync(bytes.subarray(at));
}

try {
  await runChild(JSON.parse(first.value) as ChildOrder, { signal: stop.signal, report });
  Deno.exit(0);
} catch (error) {
  if (stop.signal.aborted && error === stop.signal.reason) Deno.exit(0); // it was asked to leave before it had begun
  report(failureOf(error));
  Deno.exit(1);
}

/**
 * A coordinator, worker or reducer process as the launcher starts it (src/run/processes/child.ts has the other end). Not for people:
 * they use `deno task train` and `deno task coordinator`.
 *
 * @module
 */

import { stringifyJson } from "../src/json.ts";
import { linesOf } from "../src/run/processes/child.ts";
import {
  type ChildEvent,
  type ChildFailure,
  type ChildOrder,
  failureOf,
  runChild,
} from "../src/run/processes/protocol.ts";
import { stdout } from "./output.ts";
import { onEndingSignal } from "./signals.ts";

const lines = linesOf(Deno.stdin.readable);
const first = await lines.next();
if (first.done) Deno.exit(1); // the launcher ended before it gave an order
(async () => {
  while (!(await lines.next()).done);
  Deno.exit(130); // the launcher is gone
})();

const stop = new AbortController();
const hurry = new AbortController();
onEndingSignal(() => stop.abort(), () => hurry.abort());

/** Reports that the launcher only shows: while it is stopped, they may be dropped. */
const SHOWN = new Set<string>(["status", "step", "evaluated", "happened", "applied"]);

/** Reports to the launcher, without waiting until it reads. */
function report(event: ChildEvent | ChildFailure): void {
  const line = stringifyJson(event) + "\n";
  if (SHOWN.has(event.kind)) stdout.show(line);
  else stdout.print(line).catch(() => {}); // the launcher is gone, and so will be this process
}

let code = 0;
try {
  await runChild(JSON.parse(first.value) as ChildOrder, { signal: stop.signal, hurry: hurry.signal, report });
} catch (error) {
  if (stop.signal.aborted && error === stop.signal.reason) Deno.exit(0); // it was asked to leave before it had begun
  report(failureOf(error));
  code = 1;
}
await stdout.written();
Deno.exit(code);

/**
 * What all tools do the same way: Ctrl-C, errors in words, exit codes.
 *
 * @module
 */

import { ConfigError, RunError } from "../src/errors.ts";

/** 0 done, 1 failed, 2 wrong usage or configuration, 130 interrupted. */
const EXIT = { done: 0, failed: 1, usage: 2, interrupted: 130 };

/**
 * Runs a tool and exits. The first Ctrl-C (or SIGTERM) aborts the signal, the second ends the process at once; children end with
 * it, since each watches a pipe from here.
 */
export async function runTool(main: (tools: { signal: AbortSignal }) => Promise<void>): Promise<never> {
  const interrupt = new AbortController();
  const onSignal = () => {
    if (interrupt.signal.aborted) Deno.exit(EXIT.interrupted);
    interrupt.abort();
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(signal, onSignal);
  try {
    await main({ signal: interrupt.signal });
  } catch (error) {
    if (!interrupt.signal.aborted || error instanceof RunError) {
      console.error(wordsOf(error));
      Deno.exit(error instanceof ConfigError ? EXIT.usage : EXIT.failed);
    }
  }
  Deno.exit(interrupt.signal.aborted ? EXIT.interrupted : EXIT.done);
}

/** An error for people: the stack only where the program itself is at fault. */
function wordsOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const isOurs = error instanceof ConfigError || error instanceof RunError;
  const isProgram = error instanceof TypeError || error instanceof ReferenceError;
  return !isOurs && isProgram ? error.stack ?? error.message : error.message;
}

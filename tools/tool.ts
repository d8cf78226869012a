/**
 * What all tools do the same way: signals, errors in words, exit codes (docs/endings.md).
 *
 * @module
 */

import { ConfigError, RunError } from "../src/errors.ts";
import { OutputError, say, stderr, stdout } from "./output.ts";
import { onEndingSignal } from "./signals.ts";

/**
 * 0 done, 1 failed, 2 wrong usage or configuration, 130 told to end, 141 ended because nobody reads the output any more: what
 * shells say of a process that SIGINT or SIGPIPE has ended.
 */
const EXIT = { done: 0, failed: 1, usage: 2, interrupted: 130, unread: 141 };

/** What a tool gets. */
export interface Tools {
  /** Ends what the tool does, in order. */
  signal: AbortSignal;
  /** Has the tool end because nobody reads its output any more. */
  endUnread: () => void;
}

/** What a tool says that trains, when it is told to end. */
export const SAVES = "ends: finishes the step and saves; a second signal ends it at once, without saving";
/** What a tool says that takes part in a run of others. */
export const LEAVES = "leaves the run; a second signal ends it at once";

/** Says a line when a tool is told to end. */
export function sayAtEnd({ signal }: Tools, line: string): void {
  signal.addEventListener("abort", () => say(line));
}

/**
 * Runs a tool and exits. The first Ctrl-C, SIGTERM or SIGHUP aborts the signal, a second one ends the process at once; children
 * end with it, since each watches a pipe from here.
 */
export async function runTool(main: (tools: Tools) => Promise<void>): Promise<never> {
  const interrupt = new AbortController();
  let code = EXIT.done;
  const end = (why: number) => {
    if (interrupt.signal.aborted) return;
    code = why;
    interrupt.abort();
  };
  onEndingSignal(() => end(EXIT.interrupted), endAtOnce);
  try {
    await main({ signal: interrupt.signal, endUnread: () => end(EXIT.unread) });
  } catch (error) {
    if (!interrupt.signal.aborted || error instanceof RunError) code = failWith(error);
  }
  await stdout.flush();
  await stderr.flush();
  Deno.exit(code);
}

async function endAtOnce(): Promise<never> {
  say("ended at once");
  await stderr.flush(200);
  Deno.exit(EXIT.interrupted);
}

/** Says what went wrong. Returns the exit code. Who reads no more has not failed: `| head` is how people end a tool. */
function failWith(error: unknown): number {
  if (error instanceof OutputError && error.isClosed) return EXIT.done;
  say(wordsOf(error));
  return error instanceof ConfigError ? EXIT.usage : EXIT.failed;
}

/** An error for people: the stack only where the program itself is at fault. */
function wordsOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const isOurs = error instanceof ConfigError || error instanceof RunError;
  const isProgram = error instanceof TypeError || error instanceof ReferenceError;
  return !isOurs && isProgram ? error.stack ?? error.message : error.message;
}

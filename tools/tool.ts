/**
 * What all tools do the same way: signals, error messages, exit codes (docs/endings.md).
 *
 * @module
 */

import type { HelpOrder } from "../src/cli/help.ts";
import { ConfigError, RunError } from "../src/errors.ts";
import { OutputError, say, stderr, stdout } from "./output.ts";
import { onEndingSignal } from "./signals.ts";

/**
 * 0 done, 1 failed, 2 wrong usage or configuration, 130 ended by a signal, 141 ended because the output is not read any more: what
 * shells say of a process that SIGINT or SIGPIPE has ended.
 */
const EXIT = { done: 0, failed: 1, usage: 2, interrupted: 130, unread: 141 };

/** What a tool gets. */
export interface Tools {
  /** Ends the tool in an orderly way. */
  signal: AbortSignal;
  /** Makes that quick. For a tool that reads it the second signal does so, and only the third ends it at once. */
  readonly hurry: AbortSignal;
  /** Ends the tool because its output is not read any more. */
  endUnread: () => void;
  /** What to do after an error, or a signal before there is a result: the last line that is shown then. */
  advice?: string;
}

/**
 * Runs a tool and exits. The first Ctrl-C, SIGTERM or SIGHUP aborts the signal, the second or third one ends the process at once;
 * children end with it, since each watches a pipe from here.
 */
export async function runTool(main: (tools: Tools) => Promise<void>): Promise<never> {
  const interrupt = new AbortController();
  let code = EXIT.done;
  const end = (why: number) => {
    if (interrupt.signal.aborted) return;
    code = why;
    interrupt.abort();
  };
  const hurry = new AbortController();
  let isHurryRead = false;
  const again = () => isHurryRead && !hurry.signal.aborted ? hurry.abort() : endAtOnce();
  onEndingSignal(() => end(EXIT.interrupted), again);
  const tools: Tools = {
    signal: interrupt.signal,
    get hurry() {
      isHurryRead = true;
      return hurry.signal;
    },
    endUnread: () => end(EXIT.unread),
  };
  try {
    await main(tools);
  } catch (error) {
    if (!interrupt.signal.aborted || error instanceof RunError) code = failWith(error);
    if (tools.advice !== undefined) say(tools.advice);
  }
  await stdout.flush();
  await stderr.flush();
  Deno.exit(code);
}

/** Shows a command's help: on a terminal what fits a screen, elsewhere all of it. */
export async function printHelp({ text, brief }: HelpOrder): Promise<void> {
  await stdout.print((Deno.stdout.isTerminal() ? brief : text) + "\n");
}

async function endAtOnce(): Promise<never> {
  sayLast("ended at once");
  await stderr.flush(200);
  Deno.exit(EXIT.interrupted);
}

/** Reports what went wrong. Returns the exit code. A closed output is no failure: `| head` is how people end a tool. */
function failWith(error: unknown): number {
  if (error instanceof OutputError && error.isClosed) return EXIT.done;
  sayLast(describeError(error));
  return error instanceof ConfigError ? EXIT.usage : EXIT.failed;
}

/** Writes the line on its own, also where a terminal shows half a line. */
function sayLast(line: string): void {
  const isTorn = stdout.isMidLine && Deno.stdout.isTerminal() && Deno.stderr.isTerminal();
  say(isTorn ? `\n${line}` : line);
}

/** An error for people: the stack only where the program itself is at fault. */
function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const isOurs = error instanceof ConfigError || error instanceof RunError;
  const isProgram = error instanceof TypeError || error instanceof ReferenceError;
  return !isOurs && isProgram ? error.stack ?? error.message : error.message;
}

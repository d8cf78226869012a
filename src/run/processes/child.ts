/**
 * A child process of the launcher: a coordinator, worker or reducer that gets an order and reports events.
 *
 * A child reads its order as the first line of standard input, and ends when that pipe closes: so none outlives its
 * launcher, however that ends. It reports events as JSON lines on standard output. Children are detached, so that Ctrl-C
 * reaches only the launcher, which ends them in order.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import { parseJson } from "../../json.ts";

/** How a child ended. */
export interface ChildExit {
  /** Exit code 0. */
  success: boolean;
  /** "exit code 1", or the signal: "SIGKILL". */
  how: string;
  /** The last lines it wrote that are no events. */
  lastLines: string;
}

/** A running child process. */
export interface Child {
  /** Settles when the process has ended and all its events were passed on. */
  readonly exited: Promise<ChildExit>;
  /** Asks it to finish what it is doing and leave, or ends it at once. */
  stop(signal: "SIGTERM" | "SIGKILL"): void;
}

/** The lines of a byte stream, without their ends. */
export async function* linesOf(stream: ReadableStream<Uint8Array<ArrayBuffer>>): AsyncGenerator<string> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
  if (rest) yield rest;
}

/**
 * Starts `tools/child.ts` with an order, any value that JSON holds.
 *
 * @param name what people call it; it stands in the list of processes too
 * @param onEvent gets each event that the child reports; must not throw
 * @param env variables besides this process's own
 */
export function startChild(
  name: string,
  order: unknown,
  onEvent: (event: unknown) => void,
  env: Readonly<Record<string, string>> = {},
): Child {
  const script = fileURLToPath(new URL("../../../tools/child.ts", import.meta.url));
  const settings = fileURLToPath(new URL("../../../deno.json", import.meta.url));
  const process = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--no-prompt", "--config", settings, "-P", script, name],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
    env,
    detached: true,
  }).spawn();

  const stdin = process.stdin.getWriter(); // stays open for the child's life
  const ordered = stdin.write(new TextEncoder().encode(JSON.stringify(order) + "\n"))
    .catch(() => {}); // of a child that is gone already the exit tells
  const lines: string[] = [];
  const note = (line: string) => {
    lines.push(line);
    if (lines.length > 20) lines.shift();
  };
  const readEvents = async () => {
    for await (const line of linesOf(process.stdout)) {
      const event = eventOf(line);
      if (event === undefined) note(line);
      else onEvent(event);
    }
  };
  const readErrors = async () => {
    for await (const line of linesOf(process.stderr)) note(line);
  };
  const exited = Promise.all([process.status, readEvents(), readErrors(), ordered]).then(async ([status]) => {
    await stdin.close().catch(() => {}); // closing a broken pipe throws, which is expected here
    return {
      success: status.success,
      how: status.signal ?? `exit code ${status.code}`,
      lastLines: lines.join("\n"),
    };
  });
  const stop = (signal: "SIGTERM" | "SIGKILL") => {
    try {
      process.kill(signal);
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // TypeError: it has ended by itself
    }
  };
  return { exited, stop };
}

/** A native library may print a line of its own, which is no event. */
function eventOf(line: string): unknown {
  try {
    return parseJson(line);
  } catch {
    return undefined;
  }
}

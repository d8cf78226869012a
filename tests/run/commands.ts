/** flashmob's commands as processes, as a user starts them. */

import { fileURLToPath } from "node:url";

/** A command that runs. */
export interface Command {
  readonly pid: number;
  /** What it has printed so far. */
  stdout(): string;
  stderr(): string;
  readonly ended: Promise<{ code: number; stdout: string; stderr: string }>;
  kill(signal: Deno.Signal): void;
}

type Task = "train" | "coordinator" | "setup" | "generate" | "evaluate" | "convert";

interface Settings {
  tasks: Record<string, { command: string }>;
}

/** The command behind `deno task NAME`, without the shell between, so that signals reach it. */
export function start(task: Task, ...args: string[]): Command {
  return startWith("", task, ...args);
}

/** The same with a text on standard input. */
export function startWith(input: string, task: Task, ...args: string[]): Command {
  const root = fileURLToPath(new URL("../../", import.meta.url));
  const settings = JSON.parse(Deno.readTextFileSync(`${root}deno.json`)) as Settings;
  const [, ...command] = settings.tasks[task].command.split(" ");
  const process = new Deno.Command(Deno.execPath(), {
    args: [...command, ...args],
    cwd: root,
    env: { NO_COLOR: "1" },
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  new Blob([input]).stream().pipeTo(process.stdin).catch(() => {}); // it may end without reading
  const out = collect(process.stdout), err = collect(process.stderr);
  const ended = Promise.all([process.status, out.done, err.done])
    .then(([{ code }]) => ({ code, stdout: out.text(), stderr: err.text() }));
  return {
    pid: process.pid,
    stdout: out.text,
    stderr: err.text,
    ended,
    kill: (signal) => process.kill(signal),
  };
}

function collect(stream: ReadableStream<Uint8Array<ArrayBuffer>>): { text(): string; done: Promise<void> } {
  let text = "";
  const done = (async () => {
    for await (const piece of stream.pipeThrough(new TextDecoderStream())) text += piece;
  })();
  return { text: () => text, done };
}

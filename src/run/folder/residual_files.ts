/**
 * Residuals in the folder of a run, a tensor for each part: `residuals/MEMBER-00000100.safetensors`, and of the mean
 * `residuals/mean.OWNER-00000100.safetensors` from each reducer, or the coordinator. Files are written atomically (temporary name,
 * then rename). Each holder keeps its last two, since the newest checkpoint may turn out damaged.
 *
 * @module
 */

import { entriesIn } from "../../checkpoint/folder.ts";
import { VectorFiles } from "../../checkpoint/vector_files.ts";
import type { ResidualPlace, ResidualStore, SavedResiduals } from "../../dist/mod.ts";

/** How many files of a holder are kept. */
const KEPT = 2;
/** What files of the mean begin with; no member has such a name. */
const MEAN = "mean.";

/** The residuals of holders on this machine. */
export class ResidualFiles implements ResidualStore {
  /** In the folder of a run. */
  constructor(readonly folder: string) {}

  of(member: string): ResidualPlace {
    const files = this.#filesOf(member);
    return { save: (saved) => save(files, saved), load: (step) => load(files, step) };
  }

  ofMean(owner: string): ResidualPlace {
    const files = this.#filesOf(MEAN + owner);
    return { save: (saved) => save(files, saved), load: (step) => this.#loadMean(step) };
  }

  /** Of each part what was saved last: an earlier start of the run may have left files of this step, too. */
  async #loadMean(step: number): Promise<SavedResiduals | undefined> {
    let all: SavedResiduals | undefined;
    for (const holder of await this.#holdersOfMean(step)) {
      const saved = await load(this.#filesOf(holder), step);
      if (!saved) continue;
      const isSame = String(all?.members) === String(saved.members);
      all = { ...saved, residuals: new Map([...isSame ? all!.residuals : [], ...saved.residuals]) };
    }
    return all;
  }

  /** The holders that have a file of the mean with this step, in the order in which they were saved. */
  async #holdersOfMean(step: number): Promise<string[]> {
    const ending = this.#filesOf("").nameOf(step);
    const found: { holder: string; at: number }[] = [];
    for (const { name } of await entriesIn(this.folder)) {
      if (!name.startsWith(MEAN) || !name.endsWith(ending)) continue;
      const { mtime } = await Deno.stat(`${this.folder}/${name}`);
      found.push({ holder: name.slice(0, -ending.length), at: mtime!.getTime() });
    }
    return found.sort((a, b) => a.at - b.at).map(({ holder }) => holder);
  }

  #filesOf(holder: string): VectorFiles {
    return new VectorFiles(this.folder, `${holder}-`);
  }
}

async function save(files: VectorFiles, { step, members, residuals }: SavedResiduals): Promise<void> {
  await files.save(step, {
    vectors: Object.fromEntries(residuals),
    metadata: { step: String(step), members: JSON.stringify(members) },
  });
  const old = (await files.steps()).filter((other) => other !== step).slice(KEPT - 1);
  for (const step of old) await files.remove(step);
}

async function load(files: VectorFiles, step: number): Promise<SavedResiduals | undefined> {
  try {
    const saved = await files.load(step);
    if (!saved) return undefined;
    const residuals = new Map(Object.entries(saved.vectors).map(([part, values]) => [Number(part), values]));
    return { step, members: JSON.parse(saved.metadata.members), residuals };
  } catch (error) {
    if (error instanceof SyntaxError) return undefined; // a damaged file counts as none
    throw error;
  }
}

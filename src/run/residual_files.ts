/**
 * Residuals in the folder of a run: `residuals/HOLDER-00000100.safetensors`, a tensor for each part. A file has its name only when
 * it is whole. Each holder keeps its last two, since the newest checkpoint may turn out damaged.
 *
 * @module
 */

import { VectorFiles } from "../checkpoint/vector_files.ts";
import type { ResidualStore, SavedResiduals } from "../dist/residuals.ts";

/** How many files of a holder are kept. */
const KEPT = 2;

/** The residuals of holders on this machine. */
export class ResidualFiles implements ResidualStore {
  /** In the folder of a run. */
  constructor(readonly folder: string) {}

  async save(holder: string, { step, members, residuals }: SavedResiduals): Promise<void> {
    const files = this.#filesOf(holder);
    await files.save(step, {
      vectors: Object.fromEntries(residuals),
      metadata: { step: String(step), members: JSON.stringify(members) },
    });
    const old = (await files.steps()).filter((other) => other !== step).slice(KEPT - 1);
    for (const step of old) await files.remove(step);
  }

  async load(holder: string, step: number): Promise<SavedResiduals | undefined> {
    try {
      const saved = await this.#filesOf(holder).load(step);
      if (!saved) return undefined;
      const residuals = new Map(
        Object.entries(saved.vectors).map(([part, values]) => [Number(part), values]),
      );
      return { step, members: JSON.parse(saved.metadata.members), residuals };
    } catch (error) {
      if (error instanceof SyntaxError) return undefined; // damaged is as lost
      throw error;
    }
  }

  #filesOf(holder: string): VectorFiles {
    return new VectorFiles(this.folder, `${holder}-`);
  }
}

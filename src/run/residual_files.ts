/**
 * Residuals in the folder of a run: `residuals/HOLDER-00000100.safetensors`, a tensor for each part. A file has its name only when
 * it is whole. Each holder keeps its last two, since the newest checkpoint may turn out damaged.
 *
 * @module
 */

import { remove } from "../checkpoint/folder.ts";
import type { ResidualStore, SavedResiduals } from "../dist/residuals.ts";
import { type FlatTensor, parseSafetensors, writeSafetensors } from "../safetensors.ts";

/** How many files of a holder are kept. */
const KEPT = 2;

/** The residuals of holders on this machine. */
export class ResidualFiles implements ResidualStore {
  /** In the folder of a run. */
  constructor(readonly folder: string) {}

  async save(holder: string, { step, members, residuals }: SavedResiduals): Promise<void> {
    const tensors = Object.fromEntries(
      [...residuals].map(([part, values]): [string, FlatTensor] => [
        String(part),
        { dtype: "F32", shape: [values.length], values },
      ]),
    );
    const path = this.#pathOf(holder, step);
    await Deno.mkdir(this.folder, { recursive: true });
    await writeSafetensors(`${path}.tmp`, tensors, { step: String(step), members: JSON.stringify(members) });
    await Deno.rename(`${path}.tmp`, path);
    for (const old of (await this.#stepsOf(holder)).filter((other) => other !== step).slice(KEPT - 1)) {
      await remove(this.#pathOf(holder, old));
    }
  }

  async load(holder: string, step: number): Promise<SavedResiduals | undefined> {
    try {
      const path = this.#pathOf(holder, step);
      const { tensors, metadata } = parseSafetensors(await Deno.readFile(path), path);
      const parts = Object.entries(tensors);
      const residuals = new Map(parts.map(([part, { values }]) => [Number(part), values as Float32Array]));
      return { step, members: JSON.parse(metadata.members), residuals };
    } catch (error) {
      if (error instanceof Deno.errors.NotFound || error instanceof SyntaxError) return undefined; // damaged is as lost
      throw error;
    }
  }

  /** The steps that a holder has files of, newest first. */
  async #stepsOf(holder: string): Promise<number[]> {
    const names = await Array.fromAsync(Deno.readDir(this.folder), ({ name }) => name);
    const steps = names.flatMap((name) => {
      const [, owner, step] = /^(.*)-(\d+)\.safetensors$/.exec(name) ?? [];
      return owner === holder ? [Number(step)] : [];
    });
    return steps.sort((a, b) => b - a);
  }

  #pathOf(holder: string, step: number): string {
    return `${this.folder}/${holder}-${String(step).padStart(8, "0")}.safetensors`;
  }
}

/**
 * Vectors that one member keeps beside the checkpoints, step after step: a safetensors file each, `PREFIX00000100.safetensors`,
 * written atomically (temporary name, then rename).
 *
 * @module
 */

import { entriesIn, remove, sync } from "./folder.ts";
import { mapValues } from "../records.ts";
import { type FlatTensor, parseSafetensors, writeSafetensors } from "../safetensors.ts";

/** Vectors by name, and what else stands in their file. */
export interface SavedVectors {
  /** Of float32. */
  vectors: Record<string, Float32Array>;
  /** The file's metadata. */
  metadata: Record<string, string>;
}

/** A vector as a tensor of a file. */
export function flatTensor(values: Float32Array): FlatTensor {
  return { dtype: "F32", shape: [values.length], values };
}

/** The files of one holder. */
export class VectorFiles {
  /**
   * Makes nothing yet.
   *
   * @param folder in which the files are, made when the first is saved
   * @param prefix what their names begin with, before the step
   */
  constructor(readonly folder: string, readonly prefix: string) {}

  /** Name of the file of a step. */
  nameOf(step: number): string {
    return `${this.prefix}${String(step).padStart(8, "0")}.safetensors`;
  }

  /** The file of a step. */
  pathOf(step: number): string {
    return `${this.folder}/${this.nameOf(step)}`;
  }

  /** Writes the file of a step, all or nothing. */
  async save(step: number, { vectors, metadata }: SavedVectors): Promise<void> {
    const path = this.pathOf(step);
    await Deno.mkdir(this.folder, { recursive: true });
    await writeSafetensors(`${path}.tmp`, mapValues(vectors, flatTensor), metadata);
    await Deno.rename(`${path}.tmp`, path);
    await sync(this.folder);
  }

  /**
   * Reads the file of a step.
   *
   * @returns undefined where there is none
   * @throws {SyntaxError} where it is damaged
   */
  async load(step: number): Promise<SavedVectors | undefined> {
    const path = this.pathOf(step);
    let bytes: Uint8Array<ArrayBuffer>;
    try {
      bytes = await Deno.readFile(path);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return undefined;
      throw error;
    }
    const { tensors, metadata } = parseSafetensors(bytes, path);
    return { vectors: mapValues(tensors, ({ values }) => values as Float32Array), metadata };
  }

  /** The steps that there are files of, newest first. */
  async steps(): Promise<number[]> {
    return (await entriesIn(this.folder))
      .filter(({ name }) => name.startsWith(this.prefix))
      .flatMap(({ name }) => /^(\d+)\.safetensors$/.exec(name.slice(this.prefix.length))?.[1] ?? [])
      .map(Number)
      .sort((a, b) => b - a);
  }

  /** Deletes the file of a step. */
  async remove(step: number): Promise<void> {
    await remove(this.pathOf(step));
  }
}

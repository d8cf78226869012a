/**
 * What a configuration leaves out and no schema can fill in.
 *
 * @module
 */

import type { RunSettings, Settings } from "./schema.ts";
import type { Config, RunConfig } from "./types.ts";

/** The configuration with all that follows from other values, the time or the machine. */
export function fillIn(settings: Settings): Config {
  const { machine } = settings;
  const out = machine.out ?? `runs/${new Date().toISOString().slice(0, 19).replaceAll(":", "-")}`;
  return {
    ...withLengths(settings),
    machine: {
      ...machine,
      out,
      run: machine.run ?? asName(out.replace(/\/+$/, "").split("/").at(-1)!),
      name: machine.name ?? asName(Deno.hostname()),
    },
  };
}

/** The settings with the lengths that documents are padded to. */
export function withLengths<S extends RunSettings>(settings: S): S & RunConfig {
  const { model, data } = settings;
  return {
    ...settings,
    data: { ...data, lengths: paddedLengths(data.lengths, model.groupSize, data.seqLen) },
  };
}

/** The lengths given, else the group size doubled again and again; the last is always `seqLen`. */
function paddedLengths(given: number[] | undefined, groupSize: number, seqLen: number): number[] {
  const lengths = given ?? [];
  if (!given) { for (let length = groupSize; length < seqLen; length *= 2) lengths.push(length); }
  return [...lengths.filter((length) => length < seqLen), seqLen];
}

/** A text with all characters replaced that a name can't have. */
function asName(text: string): string {
  return text.replace(/[^A-Za-z0-9_-]/g, "-").slice(0, 64) || "run";
}

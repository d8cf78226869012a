/**
 * What a run's configuration differs in: from the defaults, and from another run's. A configuration of any version is taken as it
 * is written; keys that are not known any more are compared, too.
 *
 * @module
 */

import { parse } from "@std/yaml";
import { configOptions } from "../config/config.ts";
import { withLengths } from "../config/fill_in.ts";
import type { RunSettings } from "../config/schema.ts";
import { isRecord } from "../records.ts";

/** A configuration as it is written, by section. */
export type WrittenConfig = Record<string, unknown>;

/** A value that two runs differ in; undefined where one has none. */
export interface Difference {
  /** Dotted: "optimizer.learningRate". */
  path: string;
  a: unknown;
  b: unknown;
}

/** Defaults that follow from other values. */
const DERIVED: Record<string, (config: WrittenConfig) => unknown> = {
  "data.lengths": usualLengths,
  "optimizer.schedule.steps": (config) => valueAt(config, "train.steps"),
};

/** Sections and values of a configuration that is read. YAML can say a value twice, or within itself. */
const MOST_NODES = 10_000;

/** The configuration in a text; undefined where it is not one. The run's identity is left out. */
export function readConfig(yaml: string): WrittenConfig | undefined {
  try {
    const config: unknown = parse(yaml);
    if (!isRecord(config) || nodesLeft(config, MOST_NODES) < 0) return undefined;
    const { id: _, ...rest } = config;
    return rest;
  } catch {
    return undefined;
  }
}

/** A value by its dotted path. */
export function valueAt(config: WrittenConfig, path: string): unknown {
  return path.split(".").reduce<unknown>((at, key) => isRecord(at) ? at[key] : undefined, config);
}

/** What differs from the defaults, by dotted path. The machine's part is left out: it does not change the result. */
export function fromDefaults(config: WrittenConfig): Record<string, unknown> {
  const found: Record<string, unknown> = {};
  for (const { path, default: usual } of configOptions) {
    const value = valueAt(config, path);
    if (path.startsWith("machine.") || value === undefined) continue;
    const expected = DERIVED[path]?.(config) ?? usual;
    if (!isEqual(value, expected)) found[path] = value;
  }
  return found;
}

/** What two configurations differ in, by dotted path, in the order of the first; names and folders are left out. */
export function between(a: WrittenConfig, b: WrittenConfig): Difference[] {
  const byPath = [a, b].map((config) => new Map(leavesOf(config)));
  const paths = new Set(byPath.flatMap((values) => [...values.keys()]));
  const own = ["machine.out", "machine.run", "machine.name"];
  return [...paths].filter((path) => !own.includes(path))
    .map((path) => ({ path, a: byPath[0].get(path), b: byPath[1].get(path) }))
    .filter((difference) => !isEqual(difference.a, difference.b));
}

/** How many of so many nodes a value leaves; below 0 where it has more. */
function nodesLeft(value: unknown, most: number): number {
  if (typeof value !== "object" || value === null) return most - 1;
  let left = most - 1;
  for (const inner of Object.values(value)) if (left >= 0) left = nodesLeft(inner, left);
  return left;
}

/** All values with their paths. A list is one value. */
function leavesOf(value: unknown, path = ""): [path: string, value: unknown][] {
  if (!isRecord(value)) return [[path, value]];
  return Object.entries(value).flatMap(([key, inner]) => leavesOf(inner, path ? `${path}.${key}` : key));
}

/** The lengths that documents are padded to where none are given. */
function usualLengths({ model, data }: WrittenConfig): unknown {
  if (!isRecord(model) || !isRecord(data)) return undefined;
  if (!Number.isSafeInteger(data.seqLen) || !(Number(model.groupSize) >= 1)) return undefined;
  return withLengths({ model, data: { ...data, lengths: undefined } } as unknown as RunSettings).data.lengths;
}

function isEqual(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

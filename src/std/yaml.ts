/**
 * Stands in for `@std/yaml`, whose registry our build cannot reach: the same two functions over `js-yaml`,
 * the package that `@std/yaml` was ported from. To use the real one, change one line of `deno.json`.
 *
 * @module
 */

// @ts-types="npm:@types/js-yaml@4.0.9"
import yaml from "js-yaml";

/**
 * Parses one YAML document.
 *
 * @throws {Error} with line and column where it can't be parsed
 *
 * @example
 * ```ts
 * import { parse } from "./yaml.ts";
 * console.assert((parse("steps: 300") as { steps: number }).steps === 300);
 * ```
 */
export function parse(text: string): unknown {
  return yaml.load(text);
}

/** Writes plain values as YAML. */
export function stringify(value: unknown): string {
  return yaml.dump(value);
}

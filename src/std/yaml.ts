/**
 * Stands in for `@std/yaml`, whose registry our build cannot reach: the same two functions over `js-yaml`,
 * the package that `@std/yaml` was ported from. To use the real one, change one line of `deno.json`.
 *
 * @module
 */

import yaml from "js-yaml";

/** Parses one YAML document. Throws an error with line and column when it can't. */
export function parse(text: string): unknown {
  return yaml.load(text);
}

/** Writes plain values as YAML. */
export function stringify(value: unknown): string {
  return yaml.dump(value);
}

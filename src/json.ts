/**
 * JSON for people and their programs. It has no word for NaN and infinities, which losses can be: they are written as "NaN",
 * "Infinity" and "-Infinity", which `Number()` in JavaScript, `float()` in Python and pandas take for what they are.
 *
 * @module
 */

const WORDS = new Set(["NaN", "Infinity", "-Infinity"]);

/**
 * Writes a value.
 *
 * @param indent spaces of a level; one line by default
 *
 * @example
 * ```ts
 * import { stringifyJson } from "./json.ts";
 * console.assert(stringifyJson({ loss: NaN }) === '{"loss":"NaN"}');
 * ```
 */
export function stringifyJson(value: unknown, indent?: number): string {
  const withWords = (_: string, inner: unknown) =>
    typeof inner === "number" && !Number.isFinite(inner) ? String(inner) : inner;
  return JSON.stringify(value, withWords, indent);
}

/**
 * Reads what {@linkcode stringifyJson} has written. A text that is one of the three words comes back as a number.
 *
 * @throws {SyntaxError} where it is not JSON
 *
 * @example
 * ```ts
 * import { parseJson } from "./json.ts";
 * console.assert(Number.isNaN(parseJson<{ loss: number }>('{"loss":"NaN"}').loss));
 * ```
 */
export function parseJson<T>(text: string): T {
  return JSON.parse(text, (_, inner) => WORDS.has(inner) ? Number(inner) : inner);
}

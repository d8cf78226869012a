/**
 * Texts from other machines, made harmless: a terminal obeys escape sequences, and a forged line in a log would be believed.
 *
 * @module
 */

/** The most characters of a text that are shown. */
const MOST = 2000;

/** What a terminal obeys, and what can't be seen or turns the direction of writing, but for the end of a line. */
const CONTROLS = /(?!\n)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/**
 * A text that can be shown: control characters as escapes, and cut where it is too long. Ends of lines stay.
 *
 * @example
 * ```ts
 * import { printable } from "./printable.ts";
 * console.assert(printable("done\u001b[2J") === "done\\u001b[2J");
 * ```
 */
export function printable(text: string): string {
  const shown = text.length > MOST ? `${text.slice(0, MOST)}…` : text;
  return shown.replace(CONTROLS, escapeOf);
}

/** {@linkcode printable}, in one line. */
export function printableLine(text: string): string {
  return printable(text).replaceAll("\n", escapeOf);
}

function escapeOf(character: string): string {
  return `\\u${character.codePointAt(0)!.toString(16).padStart(4, "0")}`;
}

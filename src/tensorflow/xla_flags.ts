/**
 * XLA's flags in environment variables, read and written as XLA parses them (xla/parse_flags_from_env.cc): flags stand between
 * white space, a value in quotes may hold anything, a `#` ends them, and a text that does not begin with a dash is the name of a
 * file with flags.
 *
 * @module
 */

import { errorMessage, RunError } from "../errors.ts";

/** One flag, with a quoted or unquoted value, or other text in its place. */
const FLAG = /[-\w]*=(?:"(?:\\[^]|[^"\\])*"?|'[^']*'?)|\S+/g;

/** A flag whose value is read as it stands, whatever it holds: between double quotes a backslash is an escape, nothing else is. */
export function xlaFlag(name: string, value: string): string {
  return `--${name}="${value.replace(/["\\]/g, "\\$&")}"`;
}

/**
 * The flags in a variable, or in the file that it names, so that others can stand beside them.
 *
 * @throws {RunError} where the file can't be read; XLA would end the process
 */
export function flagsIn(variable: string): string[] {
  const flags = [...textOf(variable).matchAll(FLAG)].map(([flag]) => flag);
  const comment = flags.findIndex((flag) => flag.startsWith("#"));
  return comment < 0 ? flags : flags.slice(0, comment);
}

function textOf(variable: string): string {
  const text = Deno.env.get(variable) ?? "";
  if (/^\s*(-|$)/.test(text)) return text;
  try {
    return Deno.readTextFileSync(text);
  } catch (cause) {
    throw new RunError(
      `${variable} is ${text}: it does not begin with a dash, so that it names a file with flags, which can't be read: ` +
        errorMessage(cause),
      { cause },
    );
  }
}

/** Command lines of the scripts under tests/bench and tests/soak. */

import { type Command, type CommandArguments, readArguments } from "../../src/cli/arguments.ts";
import { helpText } from "../../src/cli/help.ts";
import { ConfigError } from "../../src/errors.ts";

/** The arguments of a script, which ends here where it was asked for its help, or for something that it does not know. */
export function scriptArguments(command: Command): CommandArguments {
  try {
    const found = readArguments(Deno.args, command);
    if (!found.switches.help) return found;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    console.error(error.message);
    Deno.exit(2);
  }
  console.log(helpText(command));
  Deno.exit(0);
}

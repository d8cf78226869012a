/**
 * Checks what a worker receives from a coordinator about its run: nothing of it is trusted.
 *
 * @module
 */

import { configHash, parseRunConfig, type RunConfig } from "../../config/config.ts";
import { isKnownCorpus } from "../../data/corpus.ts";
import { ConfigError, RunError } from "../../errors.ts";
import { printableLine } from "../../printable.ts";
import { VERSION } from "../../version.ts";
import type { Messages } from "../../dist/mod.ts";

/**
 * The configuration that a coordinator has sent, checked.
 *
 * @throws {RunError} where this version can't use it, or its hash is not what the coordinator says
 */
export function checkedConfig({ config, configHash: hash }: Messages["run"], run: string): RunConfig {
  const advice = `flashmob ${VERSION} is here; use the same flashmob on all machines`;
  let parsed: RunConfig;
  try {
    parsed = parseRunConfig(config);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const problems = error.problems.map((problem) => `  ${printableLine(problem)}`).join("\n");
    throw new RunError(`the configuration of the run "${run}" can't be used here:\n${problems}\n${advice}`);
  }
  if (configHash(parsed) === hash) return parsed;
  throw new RunError(
    `the configuration of the run "${run}" has another hash here than at its coordinator; ${advice}`,
  );
}

/**
 * Where a worker without `--data` finds the run's text: under a name that flashmob knows. Any other source that the coordinator
 * sends is a path on its machine, which here could be any file: it is not opened, and the text is fetched.
 */
export function knownSourceOf({ data: { source } }: RunConfig): string | undefined {
  return isKnownCorpus(source) ? source : undefined;
}

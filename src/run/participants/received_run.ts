/**
 * What a worker makes of what a coordinator tells of its run: nothing of it is believed unseen.
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
 * The configuration that a coordinator has told.
 *
 * @throws {RunError} where it is none here, or not the one that the coordinator has
 */
export function configOf({ config, configHash: hash }: Messages["run"], run: string): RunConfig {
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
 * Where a worker finds the run's text that was not told where it is: under a name that flashmob knows. What the coordinator says
 * otherwise is a place on its machine, which here would be any file: it is not opened, and the text is fetched.
 */
export function knownSourceOf({ data: { source } }: RunConfig): string | undefined {
  return isKnownCorpus(source) ? source : undefined;
}

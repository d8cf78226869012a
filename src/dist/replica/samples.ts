/**
 * Samples: texts by which people see what a model has learned. At an evaluation one replica continues the prompts of the run. No
 * step waits for it, and what it fails at costs the samples only.
 *
 * @module
 */

import { errorMessage, Halted } from "../../errors.ts";
import type { Replica } from "./replica.ts";

/** What became of the samples of an evaluation: a text for each prompt, or why there is none. */
export type SampleResult = { texts: string[] } | { error: string };

/** A member has continued a prompt with the parameters of a step, or could not continue the prompts. */
export type SampleEvent =
  | { kind: "sample"; step: number; member: string; prompt: string; text: string }
  | { kind: "unsampled"; step: number; member: string; error: string };

/**
 * Continues the prompts with the present parameters, of which a copy is made before this returns.
 *
 * @param beforeEach awaited before each token; throws {@linkcode Halted} to stop
 * @throws {Halted} where it was stopped
 */
export async function sample(
  replica: Pick<Replica, "sample">,
  beforeEach: () => Promise<void> | void,
): Promise<SampleResult> {
  try {
    return { texts: await replica.sample(beforeEach) };
  } catch (error) {
    if (error instanceof Halted) throw error;
    return { error: errorMessage(error) };
  }
}

/** The events of a result; none where it does not fit the prompts. */
export function sampleEvents(
  prompts: readonly string[],
  from: { step: number; member: string },
  result: SampleResult,
): SampleEvent[] {
  if ("error" in result) return [{ kind: "unsampled", ...from, ...result }];
  const { texts } = result;
  if (texts.length !== prompts.length) return [];
  return texts.map((text, i) => ({ kind: "sample", ...from, prompt: prompts[i], text }));
}

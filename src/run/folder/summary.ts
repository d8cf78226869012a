/**
 * `summary.json`: a run that has ended.
 *
 * @module
 */

import { z } from "zod";
import { parseJson } from "../../json.ts";
import type { RunOutcome } from "../../dist/mod.ts";

/** `summary.json`: the run as a whole. */
export interface Summary extends RunOutcome {
  /** From the first step to the last, without the time between two starts. */
  seconds: number;
}

const count = z.int().min(0);
/** May be no number. */
const loss = z.custom<number>((value) => typeof value === "number");

const schema: z.ZodType<Summary> = z.object({
  steps: count,
  loss,
  valLoss: loss.nullable(),
  tokens: count,
  bytesSent: count,
  bytesReceived: count,
  stateBytes: count,
  paramsHash: z.string(),
  dropped: z.record(z.string(), count),
  interrupted: z.boolean(),
  seconds: z.number().min(0),
});

/** The summary in a text; undefined where it is damaged, or of a version that wrote another one. */
export function summaryIn(text: string): Summary | undefined {
  try {
    return schema.safeParse(parseJson(text)).data;
  } catch {
    return undefined;
  }
}

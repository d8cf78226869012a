/**
 * A run has one coordinator: none starts while another one serves it, and one that was replaced ends.
 *
 * @module
 */

import { RunError } from "../../errors.ts";
import { encodeFrame } from "../protocol/frames.ts";
import { type Answer, COORDINATOR, subjects, type Transport } from "../protocol/transport.ts";

/** Seconds that another coordinator has to answer. */
const RIVAL_TIMEOUT = 0.5;

/**
 * Refuses to start a second coordinator: two would corrupt the run.
 *
 * @param takesOver whether one that listens without answering is replaced
 * @throws {RunError} where another one serves the run
 */
export async function refuseRival(transport: Transport, run: string, takesOver: boolean): Promise<void> {
  const hello = encodeFrame({ kind: "hello", run, sender: COORDINATOR });
  let answer: Answer, isHeard: boolean;
  do {
    isHeard = transport.isConnected;
    answer = await transport.request(subjects.from(run, COORDINATOR), hello, RIVAL_TIMEOUT);
  } while (!isHeard || !transport.isConnected); // the server was unreachable: no coordinator could answer
  if (answer === "nobody" || (answer === "silence" && takesOver)) return;
  throw new RunError(`another coordinator serves the run "${run}" on this server; choose another name`);
}

/** The error of a coordinator that was replaced: it must not change anything any more. */
export function replaced(run: string, term?: number): RunError {
  const which = term === undefined ? "" : `, term ${term}`;
  return new RunError(`another coordinator has taken over the run "${run}"${which}; this one ends`);
}

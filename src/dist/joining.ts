/**
 * How a worker finds the coordinator of a run, gets the run's configuration, and becomes a member.
 *
 * @module
 */

import { RunError } from "../errors.ts";
import { decodeFrame, encodeFrame, type Frame, PROTOCOL_VERSION } from "./frames.ts";
import { encodeControl, messageOf, type Messages } from "./messages.ts";
import type { Replica } from "./replica.ts";
import { subjects, type Transport } from "./transport.ts";

/** Seconds that the coordinator has for an answer before it is asked again; the message may be lost, or it be busy. */
const PATIENCE = [0.2, 0.4, 0.8, 1.6, 3.2, 6.4];

/** What a new member is told. */
export type Welcome = Messages["welcome"] & Pick<Frame, "term" | "generation">;

/**
 * The run part of the configuration, which a worker builds its replica from.
 *
 * @param member name of the worker that asks
 * @throws {RunError} where nobody coordinates the run
 */
export async function fetchRun(transport: Transport, run: string, member: string): Promise<Messages["run"]> {
  const answer = await askCoordinator(
    transport,
    run,
    member,
    encodeFrame({ kind: "hello", run, sender: member }),
  );
  return messageOf(answer, "run");
}

/** Asks to be a member. */
export async function join(
  transport: Transport,
  replica: Replica,
  { run, member, nonce, configHash, atHome }: {
    run: string;
    member: string;
    nonce: string;
    configHash: string;
    atHome: boolean;
  },
): Promise<Welcome> {
  const { state: stateHash } = await replica.hashes();
  const { identity, step } = replica;
  const request = encodeControl(
    { kind: "join", run, sender: member, step },
    { nonce, identity, configHash, stateHash, atHome },
  );
  const answer = await askCoordinator(transport, run, member, request);
  if (answer.kind === "welcome") {
    return { ...messageOf(answer, "welcome"), term: answer.term, generation: answer.generation };
  }
  const { reasons } = messageOf(answer, "refuse");
  throw new RunError(
    `the run "${run}" does not admit ${member}:\n${reasons.map((reason) => `  ${reason}`).join("\n")}`,
  );
}

/**
 * Sends a request to the coordinator, again where it or the answer was lost.
 *
 * @throws {RunError} where nobody coordinates the run, nobody answers, or the answer is of another version
 */
export async function askCoordinator(
  transport: Transport,
  run: string,
  member: string,
  request: Uint8Array,
): Promise<Frame> {
  for (const seconds of PATIENCE) {
    const answer = await transport.request(subjects.from(run, member), request, seconds);
    if (answer === "silence") continue;
    if (answer === "nobody") {
      throw new RunError(
        `nobody coordinates a run "${run}" on this server; start its coordinator first, or check the name`,
      );
    }
    const frame = decodeFrame(answer, run);
    if (!("refused" in frame)) return frame;
    if (frame.refused === "version") {
      throw new RunError(
        `the coordinator of the run "${run}" speaks version ${frame.version} of flashmob's protocol, this worker ` +
          `version ${PROTOCOL_VERSION}; use the same flashmob on all machines`,
      );
    }
  }
  const waited = Math.round(PATIENCE.reduce((sum, seconds) => sum + seconds, 0));
  throw new RunError(`the coordinator of the run "${run}" did not answer for ${waited} s`);
}

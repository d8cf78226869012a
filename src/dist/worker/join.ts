/**
 * How a worker finds the coordinator of a run, gets the run's configuration, and becomes a member.
 *
 * @module
 */

import { RunError, TransientError } from "../../errors.ts";
import { now } from "../protocol/timeouts.ts";
import type { CoordinatorLink, Place } from "../protocol/coordinator_link.ts";
import { encodeFrame, type Frame, type Kind, PROTOCOL_VERSION } from "../protocol/frames.ts";
import { decodeMessage, encodeControl, isOf, type Messages, type ReceivedOf } from "../protocol/messages.ts";
import type { SegmentAddress } from "../memory/header.ts";
import type { Replica } from "../replica/replica.ts";
import { type Answer, mayBeCutOff, subjects, type Transport } from "../protocol/transport.ts";

/** Seconds until the coordinator is asked again: a message may be lost, or it may be busy. */
const PATIENCE = [0.2, 0.4, 0.8, 1.6, 3.2, 6.4];

/** Seconds for which no coordinator may be there: one connects again to a server that was restarted a moment after this worker has. */
const RECONNECT_SECONDS = 2;

/** Milliseconds until a coordinator is asked again that can't decide yet. */
const UNDECIDED_PAUSE = 100;

/** The coordinator's answer to an accepted join. */
export type Welcome = Messages["welcome"] & Pick<Frame, "term" | "generation">;

/**
 * The run part of the configuration, which a worker builds its replica from.
 *
 * @param member name of the worker that asks
 * @param signal ends the asking
 * @throws {RunError} where no coordinator serves the run
 * @throws the signal's reason
 */
export async function fetchRun(
  transport: Transport,
  run: string,
  member: string,
  signal?: AbortSignal,
): Promise<Messages["run"]> {
  const hello = encodeFrame({ kind: "hello", run, sender: member });
  const { message } = await askUntilDecided(transport, run, member, hello, ["run"], signal);
  return message;
}

/** A worker that asks to join. */
export interface Applicant {
  /** Name of the run. */
  run: string;
  /** Identity of the run. */
  id: string;
  /** Name of the worker. */
  member: string;
  /** Distinguishes it from another process of the same name. */
  nonce: string;
  /** Hash of the configuration that its replica was built from. */
  configHash: string;
  /** Whether it is on the machine where the run was started. */
  atHome: boolean;
  /** Memory that it shares with processes of its machine. */
  memory?: SegmentAddress;
  /** Ends the asking. */
  signal?: AbortSignal;
}

/**
 * Asks to be a member.
 *
 * @throws {RunError} where no coordinator serves the run, or the replica is rejected at join
 * @throws the signal's reason
 */
export async function join(
  transport: Transport,
  replica: Replica,
  applicant: Applicant,
): Promise<Welcome> {
  const { run, member, signal } = applicant;
  const request = await requestOf(replica, applicant);
  const first = request({ term: 0, generation: 0 });
  const answer = await askUntilDecided(transport, run, member, first, ["welcome", "refuse"], signal);
  return welcomeOf(answer, applicant);
}

/**
 * Asks to join again, also during a failover.
 *
 * @param isWanted whether joining is still wanted
 * @returns undefined where it is not wanted any more
 * @throws {RunError} where no coordinator serves the run for too long, or the replica is rejected at join
 */
export async function joinAgain(
  transport: Transport,
  replica: Replica,
  applicant: Applicant,
  link: CoordinatorLink,
  isWanted: () => boolean,
): Promise<Welcome | undefined> {
  const { run, member } = applicant;
  const { heartbeatSeconds } = link.options;
  const request = await requestOf(replica, applicant);
  while (isWanted()) {
    const answer = await transport.request(
      subjects.from(run, member),
      request(link.place),
      heartbeatSeconds,
    );
    if (!isWanted()) return;
    const frame = answer instanceof Uint8Array ? decodeMessage(answer, run) : undefined;
    if (frame && "refused" in frame) link.refuse(frame);
    const isCurrent = frame && !("refused" in frame) && link.hear(frame) !== "stale";
    link.asked(answer);
    if (isCurrent && isOf(frame, "welcome", "refuse")) return welcomeOf(frame, applicant);
    if (answer !== "silence") await pause(isCurrent ? UNDECIDED_PAUSE : 1000 * heartbeatSeconds);
  }
}

/**
 * Tells the coordinator that the process of a worker or a reducer has ended, from who has started it and knows.
 *
 * @param nonce what the process joined with
 * @throws {RunError} where no coordinator serves the run, or none answers
 */
export async function reportEnded(
  transport: Transport,
  { run, member, nonce }: Pick<Applicant, "run" | "member" | "nonce">,
): Promise<void> {
  const word = encodeControl({ kind: "ended", run, sender: member }, { nonce });
  await askCoordinator(transport, run, member, word, ["alive"]);
}

/** The request, with the term and generation that the worker last belonged to; the state's hash is computed once. */
async function requestOf(
  replica: Replica,
  { run, id, member, nonce, configHash, atHome, memory }: Applicant,
): Promise<(place: Place) => Uint8Array> {
  const { identity, device, step } = replica;
  const { state: stateHash } = await replica.hashes();
  const message = { nonce, id, identity, configHash, stateHash, atHome, device, ...memory && { memory } };
  return ({ term, generation }) =>
    encodeControl({ kind: "join", run, sender: member, step, term, generation }, message);
}

function welcomeOf(answer: ReceivedOf<"welcome" | "refuse">, { run, member }: Applicant): Welcome {
  if (answer.kind === "welcome") {
    return { ...answer.message, term: answer.term, generation: answer.generation };
  }
  const { reasons, retry } = answer.message;
  const message = `the run "${run}" rejected ${member} at join:\n${
    reasons.map((reason) => `  ${reason}`).join("\n")
  }`;
  throw retry ? new TransientError(message) : new RunError(message);
}

/**
 * As {@linkcode askCoordinator}, until the coordinator can decide: during a failover it first has to gather the workers.
 * An unreachable server is waited for, and a coordinator that may be about to connect again to a server that was restarted.
 *
 * @throws the signal's reason
 */
export async function askUntilDecided<K extends Kind>(
  transport: Transport,
  run: string,
  member: string,
  request: Uint8Array,
  wanted: readonly K[],
  signal?: AbortSignal,
): Promise<ReceivedOf<K>> {
  const begun = now();
  const isPatient = (answer: Answer) => {
    signal?.throwIfAborted();
    return mayBeCutOff(transport) || (answer === "nobody" && now() - begun < RECONNECT_SECONDS);
  };
  for (;;) {
    signal?.throwIfAborted();
    const answer = await askCoordinator(transport, run, member, request, ["alive", ...wanted], isPatient);
    if (isOf(answer, ...wanted)) return answer;
    await pause(UNDECIDED_PAUSE);
  }
}

/**
 * Sends a request to the coordinator, again where it or the answer was lost, or was of another kind.
 *
 * @param wanted kinds of frames that are an answer
 * @param isPatient whether a missing answer is expected now, and does not count
 * @throws {RunError} where no coordinator serves the run, none answers, or the answer is of another protocol version
 */
export async function askCoordinator<K extends Kind>(
  transport: Transport,
  run: string,
  member: string,
  request: Uint8Array,
  wanted: readonly K[],
  isPatient: (answer: Answer) => boolean = () => false,
): Promise<ReceivedOf<K>> {
  for (let asked = 0; asked < PATIENCE.length;) {
    const end = now() + PATIENCE[asked++];
    for (let left = end - now(); left > 0; left = end - now()) {
      const answer = await transport.request(subjects.from(run, member), request, left);
      if (!(answer instanceof Uint8Array) && isPatient(answer)) {
        asked--;
        await pause(UNDECIDED_PAUSE);
        break;
      }
      if (answer === "silence") break;
      if (answer === "nobody") {
        throw new TransientError(
          `no coordinator serves a run "${run}" on this server; start it first, or check the name`,
        );
      }
      const frame = decodeMessage(answer, run);
      if ("refused" in frame && frame.refused === "version") {
        throw new RunError(
          `the coordinator of the run "${run}" speaks version ${frame.version} of flashmob's protocol, this worker ` +
            `version ${PROTOCOL_VERSION}; use the same flashmob on all machines`,
        );
      }
      if (!("refused" in frame) && isOf(frame, ...wanted)) return frame;
      await pause(UNDECIDED_PAUSE);
    }
  }
  const waited = Math.round(PATIENCE.reduce((sum, seconds) => sum + seconds, 0));
  throw new TransientError(`the coordinator of the run "${run}" did not answer for ${waited} s`);
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

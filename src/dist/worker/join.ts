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
import type { Replica } from "../replica/replica.ts";
import { mayBeCutOff, subjects, type Transport } from "../protocol/transport.ts";

/** Seconds that the coordinator has for an answer before it is asked again; the message may be lost, or it be busy. */
const PATIENCE = [0.2, 0.4, 0.8, 1.6, 3.2, 6.4];

/** Milliseconds until a coordinator is asked again that can't answer yet, or for which somebody else has answered. */
const UNDECIDED_PAUSE = 100;

/** What a new member is told. */
export type Welcome = Messages["welcome"] & Pick<Frame, "term" | "generation">;

/**
 * The run part of the configuration, which a worker builds its replica from.
 *
 * @param member name of the worker that asks
 * @param signal ends the asking
 * @throws {RunError} where nobody coordinates the run
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

/** Who asks to be a member. */
export interface Applicant {
  /** Name of the run. */
  run: string;
  /** Identity of the run. */
  id: string;
  /** Name of the worker. */
  member: string;
  /** Tells it apart from another of that name. */
  nonce: string;
  /** Hash of the configuration that its replica was built from. */
  configHash: string;
  /** Whether it is on the machine where the run was started. */
  atHome: boolean;
  /** Ends the asking. */
  signal?: AbortSignal;
}

/**
 * Asks to be a member.
 *
 * @throws {RunError} where nobody coordinates the run, or the replica is refused
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
 * Asks to be a member again, also of a coordinator that has yet to take over.
 *
 * @param isWanted whether there is still a reason to
 * @returns undefined where there is none any more
 * @throws {RunError} where nobody coordinates the run for too long, or the replica is refused
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

/** The question, for the place where the worker belonged last; the state's hash is computed once. */
async function requestOf(
  replica: Replica,
  { run, id, member, nonce, configHash, atHome }: Applicant,
): Promise<(place: Place) => Uint8Array> {
  const { identity, step } = replica;
  const { state: stateHash } = await replica.hashes();
  const message = { nonce, id, identity, configHash, stateHash, atHome };
  return ({ term, generation }) =>
    encodeControl({ kind: "join", run, sender: member, step, term, generation }, message);
}

function welcomeOf(answer: ReceivedOf<"welcome" | "refuse">, { run, member }: Applicant): Welcome {
  if (answer.kind === "welcome") {
    return { ...answer.message, term: answer.term, generation: answer.generation };
  }
  const { reasons, retry } = answer.message;
  const words = `the run "${run}" does not admit ${member}:\n${
    reasons.map((reason) => `  ${reason}`).join("\n")
  }`;
  throw retry ? new TransientError(words) : new RunError(words);
}

/**
 * As {@linkcode askCoordinator}, until the coordinator knows the answer: one that takes over has to learn first who is there.
 * A server that is away is waited for.
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
  const isPatient = () => {
    signal?.throwIfAborted();
    return mayBeCutOff(transport);
  };
  for (;;) {
    signal?.throwIfAborted();
    const answer = await askCoordinator(transport, run, member, request, ["alive", ...wanted], isPatient);
    if (isOf(answer, ...wanted)) return answer;
    await pause(UNDECIDED_PAUSE);
  }
}

/**
 * Sends a request to the coordinator, again where it or the answer was lost, or the answer is none.
 *
 * @param wanted kinds of frames that are an answer
 * @param isPatient whether it is no wonder now that nobody answers: then that does not count
 * @throws {RunError} where nobody coordinates the run, nobody answers, or the answer is of another version
 */
export async function askCoordinator<K extends Kind>(
  transport: Transport,
  run: string,
  member: string,
  request: Uint8Array,
  wanted: readonly K[],
  isPatient: () => boolean = () => false,
): Promise<ReceivedOf<K>> {
  for (let asked = 0; asked < PATIENCE.length;) {
    const end = now() + PATIENCE[asked++];
    for (let left = end - now(); left > 0; left = end - now()) {
      const answer = await transport.request(subjects.from(run, member), request, left);
      if (!(answer instanceof Uint8Array) && isPatient()) {
        asked--;
        await pause(UNDECIDED_PAUSE);
        break;
      }
      if (answer === "silence") break;
      if (answer === "nobody") {
        throw new TransientError(
          `nobody coordinates a run "${run}" on this server; start its coordinator first, or check the name`,
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

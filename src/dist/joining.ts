/**
 * How a worker finds the coordinator of a run, gets the run's configuration, and becomes a member.
 *
 * @module
 */

import { RunError, TransientError } from "../errors.ts";
import { mayPass } from "./admission.ts";
import type { Contact, Place } from "./contact.ts";
import { decodeFrame, encodeFrame, type Frame, PROTOCOL_VERSION } from "./frames.ts";
import { encodeControl, messageOf, type Messages } from "./messages.ts";
import type { Replica } from "./replica.ts";
import { mayBeCutOff, subjects, type Transport } from "./transport.ts";

/** Seconds that the coordinator has for an answer before it is asked again; the message may be lost, or it be busy. */
const PATIENCE = [0.2, 0.4, 0.8, 1.6, 3.2, 6.4];

/** Milliseconds until a coordinator that can't answer yet is asked again. */
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
  return messageOf(await askUntilDecided(transport, run, member, hello, signal), "run");
}

/** Who asks to be a member. */
export interface Applicant {
  /** Name of the run. */
  run: string;
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
  const answer = await askUntilDecided(transport, run, member, request({ term: 0, generation: 0 }), signal);
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
  contact: Contact,
  isWanted: () => boolean,
): Promise<Welcome | undefined> {
  const { run, member } = applicant;
  const { heartbeatSeconds } = contact.options;
  const request = await requestOf(replica, applicant);
  while (isWanted()) {
    const answer = await transport.request(
      subjects.from(run, member),
      request(contact.place),
      heartbeatSeconds,
    );
    if (!isWanted()) return;
    const frame = answer instanceof Uint8Array ? decodeFrame(answer, run) : undefined;
    const isCurrent = frame && !("refused" in frame) && contact.hear(frame) !== "stale";
    contact.asked(answer);
    if (isCurrent && frame.kind !== "alive") return welcomeOf(frame, applicant);
    if (answer !== "silence") await pause(isCurrent ? UNDECIDED_PAUSE : 1000 * heartbeatSeconds);
  }
}

/** The question, for the place where the worker belonged last; the state's hash is computed once. */
async function requestOf(
  replica: Replica,
  { run, member, nonce, configHash, atHome }: Applicant,
): Promise<(place: Place) => Uint8Array> {
  const { identity, step } = replica;
  const { state: stateHash } = await replica.hashes();
  const message = { nonce, identity, configHash, stateHash, atHome };
  return ({ term, generation }) =>
    encodeControl({ kind: "join", run, sender: member, step, term, generation }, message);
}

function welcomeOf(answer: Frame, { run, member }: Applicant): Welcome {
  if (answer.kind === "welcome") {
    return { ...messageOf(answer, "welcome"), term: answer.term, generation: answer.generation };
  }
  const { reasons } = messageOf(answer, "refuse");
  const words = `the run "${run}" does not admit ${member}:\n${
    reasons.map((reason) => `  ${reason}`).join("\n")
  }`;
  throw mayPass(reasons) ? new TransientError(words) : new RunError(words);
}

/**
 * As {@linkcode askCoordinator}, until the coordinator knows the answer: one that takes over has to learn first who is there.
 * A server that is away is waited for.
 *
 * @throws the signal's reason
 */
export async function askUntilDecided(
  transport: Transport,
  run: string,
  member: string,
  request: Uint8Array,
  signal?: AbortSignal,
): Promise<Frame> {
  const isPatient = () => {
    signal?.throwIfAborted();
    return mayBeCutOff(transport);
  };
  for (;;) {
    signal?.throwIfAborted();
    const answer = await askCoordinator(transport, run, member, request, isPatient);
    if (answer.kind !== "alive") return answer;
    await pause(UNDECIDED_PAUSE);
  }
}

/**
 * Sends a request to the coordinator, again where it or the answer was lost.
 *
 * @param isPatient whether it is no wonder now that nobody answers: then that does not count
 * @throws {RunError} where nobody coordinates the run, nobody answers, or the answer is of another version
 */
export async function askCoordinator(
  transport: Transport,
  run: string,
  member: string,
  request: Uint8Array,
  isPatient: () => boolean = () => false,
): Promise<Frame> {
  for (let asked = 0; asked < PATIENCE.length;) {
    const answer = await transport.request(subjects.from(run, member), request, PATIENCE[asked]);
    if (!(answer instanceof Uint8Array) && isPatient()) {
      await pause(UNDECIDED_PAUSE);
      continue;
    }
    asked++;
    if (answer === "silence") continue;
    if (answer === "nobody") {
      throw new TransientError(
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
  throw new TransientError(`the coordinator of the run "${run}" did not answer for ${waited} s`);
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/**
 * Requests to the donor that has pinned a state, sent to it directly, and repeated until it answers.
 *
 * @module
 */

import type { Neighbours } from "../memory/neighbours.ts";
import { encodeFrame, type Frame } from "../protocol/frames.ts";
import { decodeMessage, isOf, type ReceivedOf } from "../protocol/messages.ts";
import type { Donor } from "./state_transfer.ts";
import { subjects, type Transport } from "../protocol/transport.ts";
import { Halted } from "../../errors.ts";

/** Receiver, donor, and which state. */
export interface DonorRequests {
  /** Name of the run. */
  run: string;
  /** Who asks. */
  asker: string;
  /** Who is asked. */
  donor: string;
  /** The step of the pinned state. */
  step: number;
  /** Seconds that an answer may take before the question is repeated. */
  patienceSeconds: number;
  /** Whether a manifest is plausible. */
  isSound: (manifest: ReceivedOf<"manifest">) => boolean;
  /** Opens the memory of donors on this machine; without it all pieces travel. */
  neighbours?: Neighbours;
  /** Whether the state is still wanted from this donor: the coordinator may name another one. */
  isWanted: () => boolean;
}

/** A donor, asked over the bus. */
export function donorOver(transport: Transport, requests: DonorRequests): Donor {
  const { run, asker: sender, donor, step, patienceSeconds, isSound, isWanted } = requests;
  let byReference = requests.neighbours !== undefined;
  const ask = async <K extends "manifest" | "piece">(
    fields: Pick<Frame, "kind"> & Partial<Frame>,
    wanted: K,
    isAnswer: (frame: ReceivedOf<K>) => boolean,
  ): Promise<ReceivedOf<K>> => {
    for (;;) {
      if (!isWanted()) throw new Halted();
      const question = encodeFrame({ run, sender, step, byReference, ...fields });
      const answer = await transport.request(subjects.state(run, donor), question, patienceSeconds);
      const frame = answer instanceof Uint8Array ? decodeMessage(answer, run) : undefined;
      if (frame && !("refused" in frame) && isOf(frame, wanted) && canRead(frame) && isAnswer(frame)) {
        return frame;
      }
      // The coordinator notices if the donor is gone, and names another one.
      if (answer !== "silence") await new Promise((resolve) => setTimeout(resolve, 1000 * patienceSeconds));
    }
  };
  /** Puts what a piece refers to in its payload's place. Whose memory can't be opened is asked for bytes from then on. */
  const canRead = (frame: Frame): boolean => {
    if (!frame.byReference) return true;
    const memory = requests.neighbours?.read(donor, frame.payload);
    if (memory && "bytes" in memory) frame.payload = memory.bytes;
    else byReference = false;
    return byReference;
  };
  return {
    inspect: () => ask({ kind: "inspect" }, "manifest", isSound),
    fetch: (vector, part, bytes) =>
      ask(
        { kind: "fetch", vector, part },
        "piece",
        (piece) =>
          piece.step === step && piece.vector === vector && piece.part === part &&
          piece.codec === "float32" && piece.payload.length === bytes,
      ),
  };
}

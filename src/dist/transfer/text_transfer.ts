/**
 * Transfer of the run's text to a worker whose machine does not have it: the coordinator serves it in pieces, and the worker checks
 * its checksum.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { TransientError } from "../../errors.ts";
import { sha256 } from "../../hashing.ts";
import { encodeFrame, type Frame } from "../protocol/frames.ts";
import {
  decodeMessage,
  encodeControl,
  isOf,
  type Messages,
  type Received,
  type ReceivedOf,
} from "../protocol/messages.ts";
import { MOST_FILES } from "../protocol/from_coordinator.ts";
import { Stall } from "./stall.ts";
import { COORDINATOR, subjects, type Transport } from "../protocol/transport.ts";

/** Bytes per part. */
const PART = 256 * 1024;
/** Parts that a worker requests at once. */
const WINDOW = 16;
/** Seconds after which a part is requested again, and seconds without any part after which the worker gives up. */
const PATIENCE_SECONDS = 5;
const LONGEST_SECONDS = 60;

/** A text as it is transferred: its files, with one byte between two. */
export interface SharedText {
  /** All of it, in the pieces that it is stored in. */
  pieces: readonly Uint8Array[];
  /** Lengths of its files. */
  files: readonly number[];
  /** SHA-256 of all of it, in hexadecimal. */
  sha256: string;
}

/** The answer to a request about a text; undefined where there is none. */
export function answerAboutText(
  text: SharedText | undefined,
  { kind, part }: Pick<Frame, "kind" | "part">,
  from: Pick<Frame, "run" | "sender">,
): Uint8Array | undefined {
  if (!text || text.files.length > MOST_FILES) return undefined;
  const { pieces, files, sha256 } = text;
  const bytes = pieces.reduce((sum, piece) => sum + piece.length, 0);
  if (kind === "text") {
    return encodeControl({ ...from, kind: "contents" }, {
      bytes,
      sha256,
      files: [...files],
      partBytes: PART,
    });
  }
  if (kind !== "extract" || part * PART >= bytes) return undefined;
  return encodeFrame({ ...from, kind: "piece", part, payload: cut(pieces, part * PART, PART) });
}

/** Bytes of a text from an offset; fewer at its end. */
function cut(pieces: readonly Uint8Array[], from: number, length: number): Uint8Array {
  const found: Uint8Array[] = [];
  let start = 0;
  for (const piece of pieces) {
    const some = piece.subarray(Math.max(0, from - start), Math.max(0, from + length - start));
    if (some.length > 0) found.push(some);
    start += piece.length;
  }
  return found.length === 1 ? found[0] : Buffer.concat(found);
}

/** Which worker requests a text. */
export interface TextRequest {
  /** Name of the run. */
  run: string;
  /** Name of the worker. */
  member: string;
  /** Ends the waiting. */
  signal?: AbortSignal;
}

/** Requests for the text of a run, over the bus. */
export class TextRequests {
  readonly #stall: Stall;

  /** Nothing is requested yet. */
  constructor(readonly transport: Transport, readonly request: TextRequest) {
    this.#stall = new Stall(transport, LONGEST_SECONDS);
  }

  /** What the text is. */
  async contents(): Promise<Messages["contents"]> {
    return (await this.#ask({ kind: "text" }, "contents", () => true)).message;
  }

  /**
   * All of the text.
   *
   * @param onProgress told which share has arrived
   * @throws {TransientError} where the coordinator does not serve it
   * @throws {Error} where the received text has another checksum
   */
  async bytes(
    { bytes, partBytes, sha256: wanted }: Messages["contents"],
    onProgress: (share: number) => void,
  ): Promise<Uint8Array<ArrayBuffer>> {
    const text = new Uint8Array(bytes);
    const parts = Array.from({ length: Math.ceil(bytes / partBytes) }, (_, part) => part).values();
    let arrived = 0;
    const lane = async () => {
      for (const part of parts) {
        const into = text.subarray(part * partBytes, (part + 1) * partBytes);
        const isRight = (piece: ReceivedOf<"piece">) =>
          piece.part === part && piece.payload.length === into.length;
        into.set((await this.#ask({ kind: "extract", part }, "piece", isRight)).payload);
        onProgress((arrived += into.length) / bytes);
      }
    };
    await Promise.all(Array.from({ length: WINDOW }, lane));
    if (await sha256([text]) === wanted) return text;
    throw new Error("the run's text has arrived with another checksum than its coordinator says");
  }

  async #ask<K extends "contents" | "piece">(
    fields: Pick<Frame, "kind"> & Partial<Frame>,
    wanted: K,
    isRight: (frame: ReceivedOf<K>) => boolean,
  ): Promise<ReceivedOf<K>> {
    const { transport, request: { run, member: sender, signal } } = this;
    const question = encodeFrame({ run, sender, ...fields });
    for (;;) {
      signal?.throwIfAborted();
      if (this.#stall.isTooLong) {
        throw new TransientError(
          `the coordinator of the run "${run}" has not handed out its text for ${LONGEST_SECONDS} s; say with --data where ` +
            "this machine has the same text",
        );
      }
      const answer = await transport.request(subjects.state(run, COORDINATOR), question, PATIENCE_SECONDS);
      const frame: Received | undefined = answer instanceof Uint8Array ? soundOf(answer, run) : undefined;
      if (frame && isOf(frame, wanted) && isRight(frame)) {
        this.#stall.end();
        return frame;
      }
      if (answer !== "silence") await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }
}

function soundOf(bytes: Uint8Array, run: string): Received | undefined {
  const frame = decodeMessage(bytes, run);
  return "refused" in frame ? undefined : frame;
}

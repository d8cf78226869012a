/**
 * The JSON payloads of control frames, which are checked against their schema when they are received. A message that does not fit
 * it is dropped and counted, whichever process sent it.
 *
 * @module
 */

import type { z } from "zod";
import { RunError, TransientError } from "../../errors.ts";
import { decodeFrame, encodeFrame, type Frame, type FrameFields, type Kind, type Refusal } from "./frames.ts";
import { FROM_COORDINATOR } from "./from_coordinator.ts";
import { FROM_MEMBERS } from "./from_members.ts";
import { decodeReference } from "../memory/reference.ts";
import { type exchangeSizes, notFinite, type stepTraffic } from "./message_values.ts";

const MESSAGES = { ...FROM_MEMBERS, ...FROM_COORDINATOR };

/** The payload of each kind of control frame. The fields are documented in the schemas. */
export type Messages = { [K in keyof typeof MESSAGES]: z.infer<(typeof MESSAGES)[K]> };

/** A kind of frame whose payload is JSON. */
export type ControlKind = Kind & keyof Messages;

/** Phase and progress of a member. */
export type StatusMessage = Omit<Messages["status"], "traffic">;
/** What a worker has sent, received and dropped since it started, and how it has spent its time. */
export type Traffic = Messages["status"]["traffic"];
/** Bytes that a worker has sent and received. */
export type Transferred = Pick<Traffic, "bytesSent" | "bytesReceived" | "stateBytes">;
/** Payload of the sums that members sent in a step, and of the mean that they received, in bytes. */
export type StepTraffic = Inferred<typeof stepTraffic>;
/** Identifies one of several attempts at the mean of a round. */
export type Attempt = NonNullable<Messages["commit"]["round"]>["attempt"];
/** What all processes that exchange vectors need to know. */
export type ExchangeSizes = Inferred<typeof exchangeSizes>;
/** The sums of a step, and the processes that reduce them. */
export type StepOfVectors = NonNullable<Messages["reduce"]["work"]>;
/** A sum that a member has and that may be pulled. */
export type OfferedSum = StepOfVectors["sums"][number];

type Inferred<Fields extends z.ZodRawShape> = z.infer<z.ZodObject<Fields>>;

/** A received frame, with its message where it is a control frame. */
export type Received = {
  [K in Kind]: Frame & { kind: K; message: K extends ControlKind ? Messages[K] : undefined };
}[Kind];

/** A received frame of one kind. */
export type ReceivedOf<K extends Kind> = Extract<Received, { kind: K }>;

/** Whether a frame is of one of these kinds. */
export function isOf<K extends Kind>(frame: Received, ...kinds: readonly K[]): frame is ReceivedOf<K> {
  return (kinds as readonly Kind[]).includes(frame.kind);
}

/** Writes a control frame. */
export function encodeControl<K extends ControlKind>(
  fields: FrameFields & { kind: K },
  message: Messages[K],
): Uint8Array {
  const text = JSON.stringify(
    message,
    (_, value: unknown) => typeof value === "number" && !Number.isFinite(value) ? notFinite(value) : value,
  );
  return encodeFrame({ ...fields, codec: "json", payload: new TextEncoder().encode(text) });
}

/**
 * Reads a message of the run named, as {@linkcode decodeFrame} does, and checks the payload against the schema of its kind.
 *
 * @example
 * ```ts
 * import { decodeMessage, encodeControl } from "./messages.ts";
 * const bytes = encodeControl({ kind: "pin", run: "demo", sender: "coordinator" }, { donor: "worker-0" });
 * const frame = decodeMessage(bytes, "demo");
 * console.assert(!("refused" in frame) && frame.kind === "pin" && frame.message.donor === "worker-0");
 * ```
 */
export function decodeMessage(bytes: Uint8Array, run: string): Received | Refusal {
  const frame = decodeFrame(bytes, run);
  if ("refused" in frame) return frame;
  if (!hasSoundNumbers(frame)) return { refused: "malformed" };
  if (!Object.hasOwn(MESSAGES, frame.kind)) return Object.assign(frame, { message: undefined }) as Received;
  const message = frame.codec === "json"
    ? read(MESSAGES[frame.kind as ControlKind], frame.payload)
    : undefined;
  return message === undefined ? { refused: "malformed" } : Object.assign(frame, { message }) as Received;
}

const utf8 = new TextDecoder("utf-8", { fatal: true });

/** The value of a payload; undefined where it does not fit the schema. */
function read(schema: z.ZodType, payload: Uint8Array): unknown {
  try {
    return schema.safeParse(JSON.parse(utf8.decode(payload))).data;
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof TypeError) return undefined; // no JSON, no UTF-8
    throw error;
  }
}

/** Whether the numbers of a frame are valid for its kind. */
function hasSoundNumbers(frame: Frame): boolean {
  const { kind, lo, hi, part, parts, more, byReference, tokens, generation, openedIn, leaves } = frame;
  if (more > 0 && !byReference) return false;
  switch (kind) {
    case "offer":
      return lo < hi;
    case "pull":
      return lo < hi && part + more < parts && Number.isSafeInteger(tokens) && tokens > 0;
    case "sum":
      return lo < hi && part + more < parts && refersSoundly(frame);
    case "mean": // of an attempt that was opened in an earlier generation, or this one
      return openedIn <= generation && leaves > 0 && part + more < parts && refersSoundly(frame);
    case "piece":
      return refersSoundly(frame);
    default:
      return true;
  }
}

/** Whether the payload is a sound reference where it is said to be one. */
function refersSoundly({ byReference, payload }: Frame): boolean {
  return !byReference || decodeReference(payload) !== undefined;
}

/** The error that a run ended with, for its members; undefined where there was none. */
export function errorOf({ error, canResume }: Messages["finish"]): RunError | undefined {
  if (!error) return undefined;
  const message = `the run was ended: ${error}`;
  return canResume ? new TransientError(message) : new RunError(message);
}

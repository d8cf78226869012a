/**
 * The JSON payloads of control frames, which are checked where they come in: behind this door a message is what its type says.
 * One that is not is dropped and counted, whoever sent it.
 *
 * @module
 */

import type { z } from "zod";
import { RunError, TransientError } from "../../errors.ts";
import { decodeFrame, encodeFrame, type Frame, type FrameFields, type Kind, type Refusal } from "./frames.ts";
import { FROM_COORDINATOR } from "./from_coordinator.ts";
import { FROM_MEMBERS } from "./from_members.ts";
import { type exchangeSizes, notFinite, type stepTraffic } from "./message_values.ts";

const MESSAGES = { ...FROM_MEMBERS, ...FROM_COORDINATOR };

/** The payload of each kind of control frame. What the fields mean is said in the schemas. */
export type Messages = { [K in keyof typeof MESSAGES]: z.infer<(typeof MESSAGES)[K]> };

/** A kind of frame whose payload is JSON. */
export type ControlKind = Kind & keyof Messages;

/** What a member does. */
export type StatusMessage = Omit<Messages["status"], "traffic">;
/** What a worker has sent, received and dropped since it began. */
export type Traffic = Messages["status"]["traffic"];
/** What a worker has sent and received. */
export type Transferred = Omit<Traffic, "staleOrders" | "malformedOrders">;
/** Payload of the sums that members sent in a step, and of what they received of the mean, in bytes. */
export type StepTraffic = Inferred<typeof stepTraffic>;
/** A round: each member takes steps by itself, then how far it has come is one leaf of the tree over the members. */
export type Round = NonNullable<Messages["assign"]["round"]>;
/** Which of several means of a round one is. */
export type Attempt = NonNullable<Messages["commit"]["round"]>["attempt"];
/** What everybody who sends or takes vectors has to know. */
export type ExchangeSizes = Inferred<typeof exchangeSizes>;
/** What is averaged in a step, and by whom. */
export type StepOfVectors = NonNullable<Messages["reduce"]["work"]>;
/** A sum that a member has and that may be pulled. */
export type OfferedSum = StepOfVectors["sums"][number];

type Inferred<Fields extends z.ZodRawShape> = z.infer<z.ZodObject<Fields>>;

/** A frame that has come, with what it says where it is a control frame. */
export type Received = {
  [K in Kind]: Frame & { kind: K; message: K extends ControlKind ? Messages[K] : undefined };
}[Kind];

/** A frame of one kind that has come. */
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
 * Reads a message of the run named, as {@linkcode decodeFrame} does, and checks that it holds what its kind says.
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

/** What a payload says; undefined where it is not what the schema wants. */
function read(schema: z.ZodType, payload: Uint8Array): unknown {
  try {
    return schema.safeParse(JSON.parse(utf8.decode(payload))).data;
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof TypeError) return undefined; // no JSON, no UTF-8
    throw error;
  }
}

/** Whether the numbers that a frame's kind gives a meaning have one. */
function hasSoundNumbers({ kind, lo, hi, part, parts, tokens, generation }: Frame): boolean {
  switch (kind) {
    case "offer":
      return lo < hi;
    case "pull":
      return lo < hi && part < parts && Number.isSafeInteger(tokens) && tokens > 0;
    case "sum":
      return lo < hi && part < parts;
    case "mean": // of an attempt that was opened in an earlier generation, or this one
      return lo <= generation && hi > 0 && part < parts;
    default:
      return true;
  }
}

/** What went wrong with a run, in words for who took part in it; undefined where nothing did. */
export function errorOf({ error, canResume }: Messages["finish"]): RunError | undefined {
  if (!error) return undefined;
  const words = `the run was ended: ${error}`;
  return canResume ? new TransientError(words) : new RunError(words);
}

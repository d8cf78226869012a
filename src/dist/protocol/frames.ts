/**
 * The format of all messages between workers, coordinator and reducers: one frame a message, little-endian.
 *
 * | byte | type | field | meaning |
 * | ---: | --- | --- | --- |
 * | 0 | u32 | magic | "FMOB": a message without it is not of this protocol |
 * | 4 | u32 | crc | CRC-32 of everything from byte 8 to the end |
 * | 8 | u8 | version | of this protocol |
 * | 9 | u8 | kind | purpose of the frame, see {@linkcode KINDS} |
 * | 10 | u8 | codec | encoding of the payload, see {@linkcode CODECS} |
 * | 11 | u8 | flags | bit 0: the sum is finite; bit 1: the payload is, was, or may be a reference |
 * | 12 | u32 | term | number of the coordinator, rising with every new one |
 * | 16 | u32 | generation | number of the set of members, rising with every change |
 * | 20 | u32 | step | the step that the frame belongs to |
 * | 24 | u32 | lo | first leaf of a sum: a micro-batch, or a member in a round of local steps |
 * | 28 | u32 | hi | one past its last leaf |
 * | 32 | u32 | part | which part of the vector the payload is |
 * | 36 | u32 | parts | of how many |
 * | 40 | f64 | tokens | counted tokens of the sum; in a pull, of the whole batch |
 * | 48 | f64 | lossSum | sum of their losses, in nats |
 * | 56 | u8 | | length of `run` in bytes |
 * | 57 | u8 | | length of `sender` in bytes |
 * | 58 | u16 | more | how many parts after `part` are meant, too, where none of them travels |
 * | 60 | u32 | openedIn | in a mean and its acknowledgement: the generation in which the step was opened |
 * | 64 | u32 | leaves | in a mean and its acknowledgement: how many leaves count |
 * | 68 | u32 | vector | in `fetch` and `piece`: number of the vector of a state |
 * | 72 | text | run | name of the run |
 * | … | text | sender | name of the member or reducer, or "coordinator" |
 * | … | bytes | payload | |
 *
 * Where bit 1 of the flags is set the payload of a sum, a mean or a piece is not its bytes but where they lie in the sender's memory
 * (`../memory/reference.ts`); in a pull and a fetch it says that the answer may be such, in an acknowledgement that the mean was.
 *
 * `openedIn` and `leaves` tell apart the attempts at the mean of a round, which may be computed again without a lost member.
 *
 * A sum is identified by (run, step, lo, hi, part): its bytes don't depend on the member that computed it. Term and generation are
 * the fencing tokens of orders.
 * Bytes 0 to 8 keep their meaning in every version, so that two versions can tell each other apart.
 *
 * @module
 */

import { crc32 } from "node:zlib";

/** Version of the protocol; all processes of a run use the same one. */
export const PROTOCOL_VERSION = 10;

/** The kinds of frames and their numbers on the wire. */
export const KINDS = {
  // from a member
  hello: 1, //      asks for the run's configuration; answered with `run`, or `alive`: ask again
  join: 2, //       asks to be a member; answered with `welcome` or `refuse`, or `alive`: ask again
  status: 3, //     heartbeat with phase and progress, every second; answered with the pending order, or `alive`
  offer: 4, //      a sum over [lo, hi) is ready to be pulled
  sum: 5, //        one part of a sum
  ack: 6, //        one part of the mean has arrived
  evaluated: 7, //  losses of the validation micro-batches
  saved: 8, //      the checkpoint of this step is complete, or can't be written
  hashes: 9, //     hashes of the state
  leave: 10, //     the member leaves, with its error if that is the reason; answered with `alive`
  pinned: 11, //    the state of this step is kept for newcomers
  restored: 12, //  the newcomer has restored the state of this step
  copied: 13, //    the state of this step is copied for a checkpoint, which is written while the run continues
  sampled: 16, //   continuations of the run's prompts by the state of this step, or why there are none
  // from the launcher of a member or a reducer, in its name
  ended: 17, //     its process has ended; answered with `alive`
  // from a reducer
  reducer: 14, //   heartbeat, every second; answered with `reduce`, or `alive`
  reduced: 15, //   all members have its parts of the mean
  // from the coordinator; from a reducer, `pull` and `mean`
  run: 32, //       the configuration
  welcome: 33, //   the sender of `join` is a member
  refuse: 34, //    it is rejected, and why
  assign: 35, //    the micro-batches of one member
  pull: 36, //      asks one member for one part of a sum, or some in a row
  mean: 37, //      one part of the mean gradient, tentative until the commit
  commit: 38, //    the step ends: apply the mean, or skip it
  evaluate: 39, //  the validation micro-batches of one member
  save: 40, //      which member writes a checkpoint
  hash: 41, //      asks for hashes
  finish: 42, //    the run ends, with its error if that is the reason
  alive: 43, //     nothing to be done; the coordinator is alive
  pin: 44, //       which member keeps a copy of its state for newcomers
  takeover: 45, //  tells a newcomer which member has pinned the state
  out: 46, //       answers the status of a process that is not a member (any more): join again
  reduce: 47, //    tells a reducer the sums of the open step, if it has a part in it
  // between members, about a pinned state
  inspect: 64, //   requests its description; answered with `manifest`
  manifest: 65, //  its vectors and its hash
  fetch: 66, //     requests part `part` of vector `vector`; answered with `piece`
  piece: 67, //     one part of a vector, or of a text
  // to the coordinator, about the run's text
  text: 68, //      requests its description; answered with `contents`
  contents: 69, //  its length, its files and its checksum
  extract: 70, //   requests part `part` of it; answered with `piece`
} as const;

/** Kind of a frame. */
export type Kind = keyof typeof KINDS;

/** Encodings of a payload and their numbers on the wire. */
export const CODECS = { none: 0, json: 1, float32: 2, bfloat16: 3, int8: 4 } as const;

/** Codec of a payload. */
export type Codec = keyof typeof CODECS;

/** One frame, decoded. */
export interface Frame {
  /** Purpose of the frame. */
  kind: Kind;
  /** Name of the run. */
  run: string;
  /** Name of the member or reducer, or "coordinator". */
  sender: string;
  /** Number of the coordinator. */
  term: number;
  /** Number of the set of members. */
  generation: number;
  /** The step that the frame belongs to. */
  step: number;
  /** First micro-batch of a sum. */
  lo: number;
  /** One past its last micro-batch. */
  hi: number;
  /** The generation in which the step of a mean was opened. */
  openedIn: number;
  /** Leaves that count in a mean. */
  leaves: number;
  /** Number of the vector of a state, from 0. */
  vector: number;
  /** Which part of the vector the payload is, from 0. */
  part: number;
  /** Number of parts of the vector. */
  parts: number;
  /** How many parts after `part` are asked for, referred to, or acknowledged, too. */
  more: number;
  /** Counted tokens of the sum. */
  tokens: number;
  /** Sum of their losses, in nats. */
  lossSum: number;
  /** Whether the sum is finite. */
  finite: boolean;
  /** Whether the payload is, was, or may be a reference to shared memory. */
  byReference: boolean;
  /** Encoding of the payload, or of what it refers to. */
  codec: Codec;
  /** For a part of a vector a view of the message, valid as long as the message; need not be aligned. */
  payload: Uint8Array;
}

/** The fields to send a frame; numbers without a meaning for its kind are 0. */
export type FrameFields = Pick<Frame, "kind" | "run" | "sender"> & Partial<Frame>;

/**
 * A message that was rejected: damaged, of another run or no frame at all, with a payload that does not fit its kind
 * (messages.ts), or of another protocol version.
 */
export type Refusal =
  | { refused: "damaged" | "foreign" | "malformed" }
  | { refused: "version"; version: number };

const MAGIC = 0x424f4d46; // "FMOB"
const CHECKED_FROM = 8;
const NAMES_FROM = 72;
const NAME_BYTES = 64;
/** Bits of the flags. */
const FINITE = 1, BY_REFERENCE = 2;

/** The most bytes of a frame that are not payload. */
export const MAX_HEADER_BYTES: number = NAMES_FROM + 2 * NAME_BYTES;

/** Names of runs and members, which become parts of NATS subjects. */
const NAME_PATTERN = /^[A-Za-z0-9_-]{1,64}$/;

/** Whether a text is a valid name of a run or a member. Properties of every object are not: members are keys of records. */
export function isName(text: string): boolean {
  return NAME_PATTERN.test(text) && !(text in Object.prototype);
}

const KIND_NAMES = new Map(Object.entries(KINDS).map(([name, number]) => [number as number, name as Kind]));
const CODEC_NAMES = new Map(
  Object.entries(CODECS).map(([name, number]) => [number as number, name as Codec]),
);

/** A message that is written directly into the buffer it is sent from, to avoid a copy of a vector. */
export interface Composition {
  /** Length in bytes. */
  readonly length: number;
  /** Writes all of them. */
  write(into: Uint8Array): void;
}

/**
 * A frame, to be written directly into the buffer it is sent from.
 *
 * @param payload by default that of the fields, or none
 * @throws {RangeError} where a name is not valid (see {@linkcode isName})
 */
export function composeFrame(
  fields: FrameFields,
  payload: Composition = compositionOf(fields.payload ?? new Uint8Array()),
): Composition {
  for (const name of [fields.run, fields.sender]) {
    if (!isName(name)) {
      throw new RangeError(`a name of 1 to 64 letters, digits, _ and - was expected, found "${name}"`);
    }
  }
  const names = new TextEncoder().encode(fields.run + fields.sender);
  const payloadFrom = NAMES_FROM + names.length;
  return {
    length: payloadFrom + payload.length,
    write(bytes) {
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      view.setUint32(0, MAGIC, true);
      view.setUint8(8, PROTOCOL_VERSION);
      view.setUint8(9, KINDS[fields.kind]);
      view.setUint8(10, CODECS[fields.codec ?? "none"]);
      view.setUint8(11, (fields.finite ? FINITE : 0) | (fields.byReference ? BY_REFERENCE : 0));
      view.setUint32(12, fields.term ?? 0, true);
      view.setUint32(16, fields.generation ?? 0, true);
      view.setUint32(20, fields.step ?? 0, true);
      view.setUint32(24, fields.lo ?? 0, true);
      view.setUint32(28, fields.hi ?? 0, true);
      view.setUint32(32, fields.part ?? 0, true);
      view.setUint32(36, fields.parts ?? 0, true);
      view.setFloat64(40, fields.tokens ?? 0, true);
      view.setFloat64(48, fields.lossSum ?? 0, true);
      view.setUint8(56, fields.run.length);
      view.setUint8(57, fields.sender.length);
      view.setUint16(58, fields.more ?? 0, true);
      view.setUint32(60, fields.openedIn ?? 0, true);
      view.setUint32(64, fields.leaves ?? 0, true);
      view.setUint32(68, fields.vector ?? 0, true);
      bytes.set(names, NAMES_FROM);
      payload.write(bytes.subarray(payloadFrom));
      view.setUint32(4, crc32(bytes.subarray(CHECKED_FROM)), true);
    },
  };
}

/** Bytes that are there already. */
export function compositionOf(bytes: Uint8Array): Composition {
  return { length: bytes.length, write: (into) => into.set(bytes) };
}

/** The bytes of a composition, in memory of their own. */
export function bytesOf(composition: Composition): Uint8Array {
  const bytes = new Uint8Array(composition.length);
  composition.write(bytes);
  return bytes;
}

/**
 * Writes a frame.
 *
 * @throws {RangeError} where a name is not valid (see {@linkcode isName})
 *
 * @example
 * ```ts
 * import { decodeFrame, encodeFrame } from "./frames.ts";
 * const bytes = encodeFrame({ kind: "ack", run: "demo", sender: "worker-0", step: 7, part: 3 });
 * const frame = decodeFrame(bytes, "demo");
 * console.assert(!("refused" in frame) && frame.part === 3);
 * ```
 */
export function encodeFrame(fields: FrameFields): Uint8Array {
  return bytesOf(composeFrame(fields));
}

/** Frames whose payload is part of a vector. */
const WITH_PART: ReadonlySet<Kind> = new Set(["sum", "mean", "piece"]);

/** Reads a frame of the run named; a part of a vector stays a view of `bytes`. A rejected message is returned as a value, to be counted. */
export function decodeFrame(bytes: Uint8Array, run: string): Frame | Refusal {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < CHECKED_FROM + 1 || view.getUint32(0, true) !== MAGIC) return { refused: "foreign" };
  if (view.getUint32(4, true) !== crc32(bytes.subarray(CHECKED_FROM))) return { refused: "damaged" };
  const version = view.getUint8(8);
  if (version !== PROTOCOL_VERSION) return { refused: "version", version };
  if (bytes.length < NAMES_FROM) return { refused: "foreign" };
  const kind = KIND_NAMES.get(view.getUint8(9));
  const codec = CODEC_NAMES.get(view.getUint8(10));
  const senderFrom = NAMES_FROM + view.getUint8(56);
  const payloadFrom = senderFrom + view.getUint8(57);
  const frameRun = nameIn(bytes.subarray(NAMES_FROM, senderFrom));
  const sender = nameIn(bytes.subarray(senderFrom, payloadFrom));
  if (
    kind === undefined || codec === undefined || payloadFrom > bytes.length || frameRun !== run || !sender
  ) {
    return { refused: "foreign" };
  }
  return {
    kind,
    codec,
    run,
    sender,
    finite: (view.getUint8(11) & FINITE) !== 0,
    byReference: (view.getUint8(11) & BY_REFERENCE) !== 0,
    term: view.getUint32(12, true),
    generation: view.getUint32(16, true),
    step: view.getUint32(20, true),
    lo: view.getUint32(24, true),
    hi: view.getUint32(28, true),
    part: view.getUint32(32, true),
    parts: view.getUint32(36, true),
    more: view.getUint16(58, true),
    tokens: view.getFloat64(40, true),
    lossSum: view.getFloat64(48, true),
    openedIn: view.getUint32(60, true),
    leaves: view.getUint32(64, true),
    vector: view.getUint32(68, true),
    payload: WITH_PART.has(kind) ? bytes.subarray(payloadFrom) : bytes.slice(payloadFrom),
  };
}

/** The name that is encoded by these bytes; undefined where it is not valid. */
function nameIn(bytes: Uint8Array): string | undefined {
  if (bytes.length > NAME_BYTES) return undefined;
  const text = String.fromCharCode(...bytes);
  return isName(text) ? text : undefined;
}

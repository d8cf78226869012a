/**
 * What the JSON payloads of control frames hold. The frame's CRC and protocol version vouch for the form: only this
 * program writes them, so they are not validated again.
 *
 * @module
 */

import { RunError, TransientError } from "../errors.ts";
import type { CodecName } from "./codecs/codecs.ts";
import { encodeFrame, type Frame, type FrameFields, type Kind } from "./frames.ts";
import type { ReplicaIdentity } from "./replica.ts";
import type { StepOfVectors } from "./sum_exchange.ts";

/** First micro-batch of a range and one past its last. */
export type Range = readonly [lo: number, hi: number];

/** What a member does, in words for people: "computing", "saving". */
export interface StatusMessage {
  /** What is being done. */
  phase: string;
  /** Rises with every micro-batch and every part, so that a long step can be told from a stuck one. */
  progress: number;
}

/** Hashes of a replica's state: of all its vectors, and of its parameters. */
export interface StateHashes {
  state: string;
  params: string;
}

/** What a worker has sent, received and dropped since it began. */
export interface Traffic {
  /** Averaging payload sent, in bytes. */
  bytesSent: number;
  /** Averaging payload received, in bytes. */
  bytesReceived: number;
  /** Bytes of others' states that it took over. */
  stateBytes: number;
  /** Orders of an earlier coordinator, or to an earlier set of members, that it did not take. */
  staleOrders: number;
}

/** Payload of the sums that members sent in a step, and of what they received of the mean, in bytes. */
export interface StepTraffic {
  bytesSent: number;
  bytesReceived: number;
}

/** What one micro-batch added to a sum. */
export interface MicroBatchReport {
  /** CRC-32 of the ids that were fed to the model. */
  crc: number;
  /** Sum of its losses, in nats. */
  lossSum: number;
  /** Its counted tokens. */
  tokens: number;
  /** Whether its loss and gradient are finite. */
  finite: boolean;
}

/** A round: each member takes steps by itself, then how far it has come is one leaf of the tree over the members. */
export interface Round {
  /** How many steps. */
  localSteps: number;
  /** Micro-batches of each member, the same of each step; who has none has no leaf. */
  shares: Readonly<Record<string, Range>>;
}

/**
 * A mean of a round may be made anew, where the round was opened again, or over fewer leaves, without a member that was lost: `lo`
 * is the generation that the round was opened in, `hi` how many leaves count.
 */
export type Attempt = Pick<Frame, "lo" | "hi">;

/** How the writing of a checkpoint ended: where it is, or why it is not there. */
export type SaveResult = { place: string } | { error: string };

/** What everybody who sends or takes vectors has to know. */
export interface ExchangeSizes {
  /** Micro-batches of the batch. */
  microBatches: number;
  /** Values of a part of a vector. */
  partElements: number;
  /** How sums and means are written. */
  codec: CodecName;
  /** Rounds stochastically, where the codec can, by streams of this seed. */
  roundingSeed?: number;
  /** Budget of bytes on their way. */
  windowBytes: number;
  /** Seconds between two signs of life. */
  heartbeatSeconds: number;
  /** Seconds of silence until nobody is there any more. */
  silenceSeconds: number;
}

/** The payload of each kind of control frame. */
export interface Messages {
  /** Who wants to be a member. */
  join: {
    /** Tells two members of the same name apart. */
    nonce: string;
    identity: ReplicaIdentity;
    configHash: string;
    stateHash: string;
    /** Whether it is on the machine where the run was started. */
    atHome: boolean;
  };
  /** What a member does. */
  status: StatusMessage & { traffic: Traffic };
  /** What each micro-batch of the sum added, step after step in a round, and how long all of them took. */
  offer: { microBatches: MicroBatchReport[]; seconds: number };
  /** Losses of validation micro-batches. */
  evaluated: { losses: { microBatch: number; lossSum: number; tokens: number }[] };
  /** The state is copied, and the run may go on. */
  copied: Record<never, never>;
  /** Where the checkpoint is, on the member's machine, or why it is not there. */
  saved: SaveResult;
  /** The state of the step is pinned: it can be taken over. */
  pinned: Record<never, never>;
  /** The state of the step was taken over. */
  restored: Record<never, never>;
  /** What its state is. */
  hashes: StateHashes & { traffic: Traffic };
  /** Why, where it is an error. */
  leave: { error?: string; traffic?: Traffic };
  /** For how many seconds each member has kept a reducer waiting. */
  reducer: { owing: Record<string, number> };
  /** Sums of squares of the blocks of each part of the mean that all members have, and what it cost. */
  reduced: { squares: [part: number, squares: number[]][]; traffic: StepTraffic };
  /** The run part of the configuration, and the step that a new run, or one that goes on from a checkpoint, starts after. */
  run: { config: unknown; configHash: string; startStep: number };
  /** What a member has to know. */
  welcome: {
    /** Whether it is a member at once: then it has the run's state. */
    admitted: boolean;
  } & ExchangeSizes;
  /** What a reducer has to know, and to do. */
  reduce: {
    /** The generation in which it was taken on; another one than before: what it has in hand is void. */
    since: number;
    /** The step that the run has started after, where none has ended since: what was kept then is to be taken up. */
    startStep: number;
    /** For how many seconds nothing was heard of each member. */
    silent: Record<string, number>;
    /** The open step, while it has a part in it. */
    work?: StepOfVectors;
  } & ExchangeSizes;
  /** What differs, one line each. */
  refuse: { reasons: string[] };
  /** Whole subtrees of each member, in a round its leaf. Who is not named is no member. */
  assign: { ranges: Readonly<Record<string, readonly Range[]>>; round?: Round };
  /** What all do with the mean. */
  commit: {
    apply: boolean;
    norm: number;
    loss: number;
    tokens: number;
    /** Null for samples that are dropped with a lost member's round; step after step. */
    crcs: (number | null)[];
    /** Where a round ends, the steps that end with it, and the attempt at its mean that counts. */
    round?: { localSteps: number; attempt: Attempt };
  };
  /** Validation micro-batches of each member. */
  evaluate: { ranges: Readonly<Record<string, readonly Range[]>> };
  /**
   * The member that writes the checkpoint, and all who copy their state for it. All keep their residuals, and who was there; who
   * averages has to know which step was the last that was applied.
   */
  save: { writer: string; copying: string[]; members: string[]; appliedStep: number };
  /** The member that pins its state. */
  pin: { donor: string };
  /** The member that has pinned its state. */
  takeover: { donor: string };
  /** Nothing has to be said. */
  hash: Record<never, never>;
  /** Why, where it is an error, and whether another coordinator can go on, from the newest checkpoint. */
  finish: { error?: string; canResume?: true };
  /** What a pinned state consists of: vectors by name, with their lengths. */
  manifest: {
    step: number;
    updates: number;
    tokens: number;
    vectors: [name: string, size: number][];
    /** The donor's own moments. */
    own?: { updates: number; vectors: [name: string, size: number][] };
    stateHash: string;
  };
}

/** A kind of frame whose payload is JSON. */
export type ControlKind = Kind & keyof Messages;

/** Writes a control frame. JSON has no word for NaN and infinities, which losses can be: they travel as text. */
export function encodeControl<K extends ControlKind>(
  fields: FrameFields & { kind: K },
  message: Messages[K],
): Uint8Array {
  const text = JSON.stringify(
    message,
    (_, value: unknown) =>
      typeof value === "number" && !Number.isFinite(value) ? { notFinite: String(value) } : value,
  );
  return encodeFrame({ ...fields, codec: "json", payload: new TextEncoder().encode(text) });
}

/**
 * Reads the payload of a control frame of the kind named.
 *
 * @throws {SyntaxError} where it is not JSON
 */
export function messageOf<K extends ControlKind>(frame: Frame, _kind: K): Messages[K] {
  return JSON.parse(
    new TextDecoder().decode(frame.payload),
    (_, value: unknown) =>
      typeof value === "object" && value !== null && "notFinite" in value ? Number(value.notFinite) : value,
  );
}

/** What went wrong with a run, in words for who took part in it; undefined where nothing did. */
export function errorOf({ error, canResume }: Messages["finish"]): RunError | undefined {
  if (!error) return undefined;
  const words = `the run was ended: ${error}`;
  return canResume ? new TransientError(words) : new RunError(words);
}

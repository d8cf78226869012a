/**
 * What the JSON payloads of control frames hold. The frame's CRC and protocol version vouch for the form: only this
 * program writes them, so they are not validated again.
 *
 * @module
 */

import { encodeFrame, type Frame, type FrameFields, type Kind } from "./frames.ts";
import type { ReplicaIdentity } from "./replica.ts";

/** First micro-batch of a range and one past its last. */
export type Range = readonly [lo: number, hi: number];

/** What a member does, in words for people: "computing", "saving". */
export interface StatusMessage {
  phase: string;
  /** Rises with every micro-batch and every part, so that a long step can be told from a stuck one. */
  progress: number;
}

/** What one micro-batch added to a sum. */
export interface MicroBatchReport {
  /** CRC-32 of the ids that were fed to the model. */
  crc: number;
  lossSum: number;
  tokens: number;
  /** Whether its loss and gradient are finite. */
  finite: boolean;
}

/** The payload of each kind of control frame. */
export interface Messages {
  join: {
    /** Tells two members of the same name apart. */
    nonce: string;
    identity: ReplicaIdentity;
    configHash: string;
    stateHash: string;
    /** Whether this member can write the run's checkpoints. */
    canWrite: boolean;
  };
  status: StatusMessage;
  offer: { microBatches: MicroBatchReport[] };
  evaluated: { losses: { microBatch: number; lossSum: number; tokens: number }[] };
  hashes: { state: string; params: string; bytesSent: number; bytesReceived: number };
  leave: { error?: string };
  run: { config: unknown; configHash: string };
  welcome: { microBatches: number; partElements: number; heartbeatSeconds: number; silenceSeconds: number };
  refuse: { reasons: string[] };
  assign: { ranges: Record<string, Range> };
  commit: { apply: boolean; norm: number; loss: number; tokens: number; crcs: number[] };
  evaluate: { ranges: Record<string, Range> };
  save: { writer: string };
  hash: Record<never, never>;
  finish: { error?: string };
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

/** Reads the payload of a control frame of the kind named. */
export function messageOf<K extends ControlKind>(frame: Frame, _kind: K): Messages[K] {
  return JSON.parse(
    new TextDecoder().decode(frame.payload),
    (_, value: unknown) =>
      typeof value === "object" && value !== null && "notFinite" in value ? Number(value.notFinite) : value,
  );
}

/**
 * State transfer between replicas: the donor pins a copy and answers requests for its parts; the receiver requests all of them,
 * a window at a time, and checks the hash of the whole.
 *
 * @module
 */

import { encodeReference } from "../memory/reference.ts";
import { Segment } from "../memory/segment.ts";
import { encodeFrame, type Frame } from "../protocol/frames.ts";
import { encodeControl, type Messages, type ReceivedOf } from "../protocol/messages.ts";
import type { ReplicaState } from "../replica/replica.ts";
import { namesOf, stateHashOf } from "../replica/state_hash.ts";
import { floatBytes } from "../vectors/floats.ts";

/** A copy of a state, kept for receivers to request. */
export class PinnedState implements Disposable {
  /** All vectors in the order of the manifest, the member's own last. */
  readonly #vectors: Float32Array[];
  #manifest: Promise<Messages["manifest"]> | undefined;
  /** All vectors where neighbours read them, from the first request of one on; undefined where memory can't be had. */
  #memory: Promise<Segment | undefined> | undefined;

  /**
   * Keeps a state.
   *
   * @param state a copy that does not change
   * @param partElements values per part
   */
  constructor(readonly state: ReplicaState, readonly partElements: number) {
    const { vectors, own } = state;
    const inOrder = (some: Record<string, Float32Array>) => namesOf(some).map((name) => some[name]);
    this.#vectors = [...inOrder(vectors), ...inOrder(own?.vectors ?? {})];
  }

  /** What the state consists of. It is hashed at the first request, so that pinning need not wait for that. */
  manifest(): Promise<Messages["manifest"]> {
    return this.#manifest ??= this.#describe();
  }

  async #describe(): Promise<Messages["manifest"]> {
    const { state: { step, updates, tokens, vectors, own }, partElements } = this;
    const sizesOf = (some: Record<string, Float32Array>) =>
      namesOf(some).map((name): [string, number] => [name, some[name].length]);
    return {
      step,
      updates,
      tokens,
      partElements,
      vectors: sizesOf(vectors),
      ...(own ? { own: { updates: own.updates, vectors: sizesOf(own.vectors) } } : {}),
      stateHash: await stateHashOf(this.state),
    };
  }

  /** One part of a vector; undefined where there is none. */
  part(vector: number, part: number): Uint8Array | undefined {
    const values = this.#vectors[vector];
    const from = part * this.partElements;
    return values && from < values.length
      ? floatBytes(values.subarray(from, from + this.partElements))
      : undefined;
  }

  /** The answer to a request about this state; undefined where there is none. */
  async answer(
    { kind, vector, part, byReference }: Pick<Frame, "kind" | "vector" | "part" | "byReference">,
    from: Pick<Frame, "run" | "sender" | "step">,
  ): Promise<Uint8Array | undefined> {
    if (kind === "inspect") return encodeControl({ ...from, kind: "manifest" }, await this.manifest());
    const bytes = kind === "fetch" ? this.part(vector, part) : undefined;
    if (!bytes) return undefined;
    const piece = { ...from, kind: "piece", vector, part, codec: "float32" } as const;
    const memory = byReference ? await (this.#memory ??= this.#share()) : undefined;
    if (!memory) return encodeFrame({ ...piece, payload: bytes });
    const offset = 4 * (this.#startOf(vector) + part * this.partElements);
    const reference = { address: memory.address, buffer: 0, stamp: 1, offset, length: bytes.length };
    return encodeFrame({ ...piece, byReference: true, payload: encodeReference(reference) });
  }

  /** Copies the vectors one after the other into a segment. */
  async #share(): Promise<Segment | undefined> {
    const memory = await Segment.create(4 * Math.max(1, this.#startOf(this.#vectors.length)));
    if ("refused" in memory) return undefined;
    memory.renew(0);
    for (const [i, values] of this.#vectors.entries()) memory.floats.set(values, this.#startOf(i));
    return memory;
  }

  /** Values before a vector. */
  #startOf(vector: number): number {
    return this.#vectors.slice(0, vector).reduce((sum, { length }) => sum + length, 0);
  }

  /** Gives shared memory back; who reads it still keeps it. */
  [Symbol.dispose](): void {
    this.#memory?.then((memory) => memory?.close());
  }
}

/** A receiver's requests to a donor, repeated where request or answer was lost. */
export interface Donor {
  /** Asks what the state consists of. */
  inspect(): Promise<ReceivedOf<"manifest">>;
  /** Asks for one part of a vector, `bytes` long. */
  fetch(vector: number, part: number, bytes: number): Promise<ReceivedOf<"piece">>;
}

/** How a state is transferred. */
export interface TransferOptions {
  /** Bytes that are requested at once. */
  windowBytes: number;
  /** Hash and step of the receiver's own state: where they are the donor's, nothing is transferred. */
  own?: { step: number; stateHash: string };
  /** Hash that the state has to have. */
  stateHash?: string;
  /** Told which share of the state has arrived. */
  onProgress?: (share: number) => void;
}

/**
 * Gets a state from a donor.
 *
 * @returns the state and the bytes received for it; undefined where the receiver has it already
 * @throws {Error} where the state has another hash than the donor announced, or than wanted
 */
export async function transferState(
  donor: Donor,
  { windowBytes, own, stateHash: wanted, onProgress = () => {} }: TransferOptions,
): Promise<{ state: ReplicaState; bytes: number } | undefined> {
  const { message } = await donor.inspect();
  const { vectors: sizes, own: ownSizes, stateHash, partElements, ...counts } = message;
  if (own?.step === counts.step && own.stateHash === stateHash) return undefined;
  const differs = () =>
    new Error(`the state of step ${counts.step} has arrived with another hash than wanted`);
  if (wanted !== undefined && wanted !== stateHash) throw differs();
  const all = [...sizes, ...ownSizes?.vectors ?? []].map(([, size]) => new Float32Array(size));
  const values = all.reduce((sum, { length }) => sum + length, 0);
  const parts = all.flatMap(({ length }, vector) =>
    Array.from({ length: Math.ceil(length / partElements) }, (_, part) => ({ vector, part }))
  );
  let bytes = 0;
  const next = parts.values();
  const lane = async () => {
    for (const { vector, part } of next) {
      const into = floatBytes(all[vector].subarray(part * partElements, (part + 1) * partElements));
      const { payload } = await donor.fetch(vector, part, into.length);
      into.set(payload);
      bytes += into.length;
      onProgress(bytes / (4 * values));
    }
  };
  const window = Math.max(1, Math.floor(windowBytes / (4 * partElements)));
  await Promise.all(Array.from({ length: window }, lane));
  const { params, ...others } = Object.fromEntries(sizes.map(([name], i) => [name, all[i]]));
  const state: ReplicaState = { ...counts, vectors: { params, ...others } };
  if (ownSizes) {
    const { updates, vectors } = ownSizes;
    const entries = vectors.map(([name], i) => [name, all[sizes.length + i]] as const);
    state.own = { updates, vectors: Object.fromEntries(entries) };
  }
  if (await stateHashOf(state) !== stateHash) throw differs();
  return { state, bytes };
}

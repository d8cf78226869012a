/**
 * How the state of a replica gets to another one: the donor pins a copy and answers requests for its parts, the newcomer asks for
 * all of them, a window at a time, and checks their hash.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { floatBytes } from "./frames.ts";
import type { Messages, ReceivedOf } from "./messages.ts";
import type { ReplicaState } from "./replica.ts";

/**
 * SHA-256 over all that replicas have in common, and over the parameters alone, in hexadecimal.
 *
 * @example
 * ```ts
 * import { hashesOf } from "./replica_state.ts";
 * const state = { step: 1, updates: 1, tokens: 10, vectors: { params: new Float32Array(3) } };
 * console.assert(hashesOf(state).state !== hashesOf({ ...state, updates: 2 }).state);
 * ```
 */
export function hashesOf({ vectors, updates }: ReplicaState): { state: string; params: string } {
  const hash = (vector: Float32Array) => createHash("sha256").update(floatBytes(vector)).digest("hex");
  const all = namesOf(vectors).map((name) => `${name} ${hash(vectors[name])}\n`).join("") +
    `updates ${updates}\n`;
  return { state: createHash("sha256").update(all).digest("hex"), params: hash(vectors.params) };
}

function namesOf(vectors: Record<string, Float32Array>): string[] {
  return Object.keys(vectors).sort();
}

/** A state that waits for newcomers. */
export class PinnedState {
  /** All vectors in the order of the manifest, the member's own last. */
  readonly #vectors: Float32Array[];
  #manifest: Messages["manifest"] | undefined;

  /**
   * Keeps a state.
   *
   * @param state a copy that nobody changes
   * @param partElements values of a part
   */
  constructor(readonly state: ReplicaState, readonly partElements: number) {
    const { vectors, own } = state;
    const inOrder = (some: Record<string, Float32Array>) => namesOf(some).map((name) => some[name]);
    this.#vectors = [...inOrder(vectors), ...inOrder(own?.vectors ?? {})];
  }

  /** What the state consists of. */
  get manifest(): Messages["manifest"] {
    const { step, updates, tokens, vectors, own } = this.state;
    const sizesOf = (some: Record<string, Float32Array>) =>
      namesOf(some).map((name): [string, number] => [name, some[name].length]);
    return this.#manifest ??= {
      step,
      updates,
      tokens,
      vectors: sizesOf(vectors),
      ...(own ? { own: { updates: own.updates, vectors: sizesOf(own.vectors) } } : {}),
      stateHash: hashesOf(this.state).state, // only now: the boundary does not wait for it
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
}

/** What a newcomer asks a donor, again where question or answer was lost. */
export interface Donor {
  /** Asks what the state consists of. */
  inspect(): Promise<ReceivedOf<"manifest">>;
  /** Asks for one part of a vector, of so many bytes. */
  fetch(vector: number, part: number, bytes: number): Promise<ReceivedOf<"piece">>;
}

/**
 * Takes over a state.
 *
 * @param own hash of the newcomer's own state, and its step: where they are the donor's, nothing is transferred
 * @param partElements values of a part
 * @param window parts that are asked for at once
 * @returns the state with the bytes that came for it; undefined where the newcomer has it already
 * @throws {Error} where what came has another hash
 */
export async function takeOver(
  donor: Donor,
  own: { step: number; stateHash: string },
  partElements: number,
  window: number,
): Promise<{ state: ReplicaState; bytes: number } | undefined> {
  const { message: { vectors: sizes, own: ownSizes, stateHash, ...counts } } = await donor.inspect();
  if (own.step === counts.step && own.stateHash === stateHash) return undefined;
  const all = [...sizes, ...ownSizes?.vectors ?? []].map(([, size]) => new Float32Array(size));
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
    }
  };
  await Promise.all(Array.from({ length: window }, lane));
  const { params, ...others } = Object.fromEntries(sizes.map(([name], i) => [name, all[i]]));
  const state: ReplicaState = { ...counts, vectors: { params, ...others } };
  if (ownSizes) {
    const { updates, vectors } = ownSizes;
    const entries = vectors.map(([name], i) => [name, all[sizes.length + i]] as const);
    state.own = { updates, vectors: Object.fromEntries(entries) };
  }
  if (hashesOf(state).state === stateHash) return { state, bytes };
  throw new Error(`the state of step ${counts.step} has arrived with another hash than its donor's`);
}

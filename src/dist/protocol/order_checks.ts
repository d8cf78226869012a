/**
 * What a schema can't see of a message: whether it fits the run, as far as its receiver knows it. Pure functions. What does not
 * fit would end a process or make it wait for something that never comes.
 *
 * @module
 */

import { DilocoReplica } from "../replica/diloco_replica.ts";
import type { Refusal } from "./frames.ts";
import {
  decodeMessage,
  type ExchangeSizes,
  type Messages,
  type Received,
  type ReceivedOf,
  type StepOfVectors,
} from "./messages.ts";
import type { Replica } from "../replica/replica.ts";
import { pathTo, type Range } from "../vectors/tree.ts";

/** What a worker knows of its run. */
export interface KnownRun {
  /** Its own name. */
  member: string;
  /** What it computes with. */
  replica: Replica;
  /** What it was told. */
  welcome: Pick<Messages["welcome"], "microBatches" | "evaluationMicroBatches" | "partElements">;
}

/** {@linkcode decodeMessage} for one who carries out orders: those that can't be are refused, too. */
export function decodeOrder(
  bytes: Uint8Array,
  run: string,
  isSound: (frame: Received) => boolean,
): Received | Refusal {
  const frame = decodeMessage(bytes, run);
  return "refused" in frame || isSound(frame) ? frame : { refused: "malformed" };
}

/** Whether a worker can carry out what comes. */
export function isSoundForWorker(frame: Received, known: KnownRun): boolean {
  const { member, replica, welcome: { microBatches, evaluationMicroBatches, partElements } } = known;
  switch (frame.kind) {
    case "assign":
      return fitsBatch(frame.message, known);
    case "evaluate":
      return areWithin(frame.message.ranges, evaluationMicroBatches);
    case "commit":
      return isWhole(frame.message, known);
    case "takeover":
      return frame.message.donor !== member;
    case "pull":
      return frame.parts === Math.ceil(replica.size / partElements);
    case "mean":
      return frame.hi <= microBatches; // of a round are members with work, each at least a micro-batch
    default:
      return true;
  }
}

/** Whether there is what is to be computed; in a round each member has at most one leaf, and a share if it has one. */
function fitsBatch({ ranges, round }: Messages["assign"], { replica, welcome }: KnownRun): boolean {
  const { microBatches } = welcome;
  if (!areWithin(ranges, microBatches)) return false;
  if (!round) return true;
  const { shares } = round;
  return replica instanceof DilocoReplica && Object.entries(ranges).every(([member, leaves]) => {
    if (leaves.length === 0) return true;
    const [lo, hi] = shares[member] ?? [0, 0];
    return leaves.length === 1 && leaves[0][1] === leaves[0][0] + 1 && lo < hi && hi <= microBatches;
  });
}

function areWithin(ranges: Readonly<Record<string, readonly Range[]>>, count: number): boolean {
  return Object.values(ranges).flat().every(([, hi]) => hi <= count);
}

/** Whether a commit is about the whole batch, and can be applied where it is to be. */
function isWhole(
  { apply, norm, tokens, crcs, round }: Messages["commit"],
  { replica, welcome: { microBatches } }: KnownRun,
): boolean {
  if (round && !(replica instanceof DilocoReplica)) return false;
  if (crcs.length !== microBatches * (round?.localSteps ?? 1)) return false;
  return !apply || (Number.isFinite(norm) && norm >= 0 && tokens > 0);
}

/** Whether a reducer can carry out what comes. */
export function isSoundForReducer(frame: Received): boolean {
  if (frame.kind !== "reduce") return true;
  const { work } = frame.message;
  return !work || isSoundWork(work, frame.message);
}

/** Whether work is what the tree of a batch can have: sums over its nodes that have no leaf in common. */
function isSoundWork(work: StepOfVectors, { microBatches }: ExchangeSizes): boolean {
  const { step, appliedStep, leaves, sums, members, tokens } = work;
  if (appliedStep >= step || tokens === 0 || members.length === 0 || leaves > microBatches) return false;
  const inOrder = sums.toSorted((a, b) => a.lo - b.lo);
  return sums.length > 0 &&
    inOrder.every(({ lo, hi }, i) =>
      pathTo(lo, hi, leaves) !== undefined && (i === 0 || inOrder[i - 1].hi <= lo)
    );
}

/** Whether a donor has the state that was asked for, of a replica like this one: memory is taken as the manifest says. */
export function isSoundManifest(
  { message: { step, vectors, own } }: ReceivedOf<"manifest">,
  wanted: number,
  { size, moments }: Pick<Replica, "size" | "moments">,
): boolean {
  const all = [...vectors, ...own?.vectors ?? []];
  const sizes = new Map(all);
  return step === wanted && sizes.size === all.length && all.every(([, each]) => each <= size) &&
    vectors.some(([name]) => name === "params") &&
    ["params", ...moments].every((name) => sizes.get(name) === size);
}

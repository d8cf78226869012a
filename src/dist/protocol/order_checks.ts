/**
 * Checks of a message beyond its schema: whether it fits the run, as far as its receiver knows it. Pure functions. An order that
 * does not fit would end a process or make it wait for something that never arrives.
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
  /** Its replica. */
  replica: Replica;
  /** Its `welcome` message. */
  welcome: Pick<Messages["welcome"], "microBatches" | "evaluationMicroBatches" | "partElements">;
}

/** {@linkcode decodeMessage} for a receiver of orders: orders that can't be carried out are rejected, too. */
export function decodeOrder(
  bytes: Uint8Array,
  run: string,
  isSound: (frame: Received) => boolean,
): Received | Refusal {
  const frame = decodeMessage(bytes, run);
  return "refused" in frame || isSound(frame) ? frame : { refused: "malformed" };
}

/** Whether a worker can carry out a message. */
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
      return frame.leaves <= microBatches; // of a round are members with work, each at least a micro-batch
    default:
      return true;
  }
}

/** Whether an assignment is within the batch; in a round a member has at most one leaf, and a share if it has one. */
function fitsBatch({ ranges, round }: Messages["assign"], { replica, welcome }: KnownRun): boolean {
  const { microBatches } = welcome;
  if (!areWithin(ranges, microBatches)) return false;
  if (!round) return true;
  if (!(replica instanceof DilocoReplica)) return false;
  const { share: [lo, hi] } = round;
  return ranges.length === 0 ||
    (ranges.length === 1 && ranges[0][1] === ranges[0][0] + 1 && lo < hi && hi <= microBatches);
}

function areWithin(ranges: readonly Range[], count: number): boolean {
  return ranges.every(([, hi]) => hi <= count);
}

/** Whether a commit covers the whole batch, and can be applied if it says so. */
function isWhole(
  { apply, norm, tokens, samples, round }: Messages["commit"],
  { replica, welcome: { microBatches } }: KnownRun,
): boolean {
  if (round && !(replica instanceof DilocoReplica)) return false;
  if (samples.count !== microBatches * (round?.localSteps ?? 1)) return false;
  return !apply || (Number.isFinite(norm) && norm >= 0 && tokens > 0);
}

/** Whether a reducer can carry out a message. */
export function isSoundForReducer(frame: Received): boolean {
  if (frame.kind !== "reduce") return true;
  const { work } = frame.message;
  return !work || isSoundWork(work, frame.message);
}

/** Whether work consists of sums over disjoint nodes of the tree of a batch. */
function isSoundWork(work: StepOfVectors, { microBatches }: ExchangeSizes): boolean {
  const { step, appliedStep, leaves, sums, members, tokens } = work;
  if (appliedStep >= step || tokens === 0 || members.length === 0 || leaves > microBatches) return false;
  const inOrder = sums.toSorted((a, b) => a.lo - b.lo);
  return sums.length > 0 &&
    inOrder.every(({ lo, hi }, i) =>
      pathTo(lo, hi, leaves) !== undefined && (i === 0 || inOrder[i - 1].hi <= lo)
    );
}

/** Whether a manifest describes the requested state of a replica like this one: memory is allocated by its sizes. */
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

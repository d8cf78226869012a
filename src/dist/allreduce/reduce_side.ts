/**
 * The side of who averages, coordinator or reducer: it pulls its parts of the sums of the open step from the members and
 * sends them those of the mean, as frames; what is on its way when is decided in `window.ts`.
 *
 * @module
 */

import { RunError } from "../../errors.ts";
import { ReduceWindow } from "./window.ts";
import { BufferPool } from "../vectors/buffer_pool.ts";
import { codecOf } from "../vectors/codecs.ts";
import { FeedbackEncoder } from "../vectors/error_feedback.ts";
import {
  composeFrame,
  type Composition,
  type Frame,
  type FrameFields,
  MAX_HEADER_BYTES,
} from "../protocol/frames.ts";
import type { OfferedSum, StepOfVectors, StepTraffic } from "../protocol/messages.ts";
import type { CoordinationPlan } from "../replica/plan.ts";
import { BLOCK } from "../vectors/sums.ts";
import { partsOf } from "../vectors/parts.ts";
import type { VectorCodec } from "../vectors/codec.ts";

/** Sizes that all steps have in common, and for how long a part is waited for. */
export interface SumExchangeSizes {
  /** Values of a part. */
  partElements: number;
  /** Budget of bytes on their way. */
  windowBytes: number;
  /** After how long a part that got no answer is sent again. */
  patienceSeconds: number;
}

/** What an exchange does to the world. */
export interface SumExchangeEffects {
  /** Run, sender, term and generation of the frames of this one. */
  fields<K extends Frame["kind"]>(kind: K): FrameFields & { kind: K };
  /** Sends a frame to one member, or to all. */
  send(frame: Composition, member?: string): void;
  /** When a member was last heard of, in seconds. */
  heardAt(member: string): number;
  /** All own parts of a sum are here. */
  pulled(sum: OfferedSum): void;
  /** All members have the own parts of the mean; the sums of squares of the blocks of each, and what it cost. */
  reduced(report: { squares: [part: number, squares: number[]][]; traffic: StepTraffic }): void;
}

/** The vectors of one step after the other, as far as they are those of one owner. */
export class ReduceSide {
  #open: { of: StepOfVectors; window: ReduceWindow; bytesSent: number; bytesReceived: number } | undefined;
  /** Writes the means. */
  readonly encoder: FeedbackEncoder;
  readonly #buffers: BufferPool;

  /**
   * Nothing on its way.
   *
   * @param name of the owner
   */
  constructor(
    readonly name: string,
    readonly sizes: SumExchangeSizes,
    codec: VectorCodec,
    readonly effects: SumExchangeEffects,
  ) {
    this.encoder = new FeedbackEncoder(codec);
    this.#buffers = new BufferPool(sizes.windowBytes);
  }

  /** What is averaged at present. */
  get open(): StepOfVectors | undefined {
    return this.#open?.of;
  }

  /** Pulls the sums of a step, or goes on with them after somebody was lost; begins again where fewer leaves count than before. */
  reduce(of: StepOfVectors, now: number): void {
    const { owners, values } = of;
    const parts = partsOf(owners, this.name, Math.ceil(values / this.sizes.partElements));
    const { bytesSent, bytesReceived } = this.#open ?? { bytesSent: 0, bytesReceived: 0 };
    if (this.#open && isSameMean(this.#open.of, of)) {
      return this.#open.window.reconfigure(of.sums, of.members, now, parts);
    }
    this.encoder.endStep(false);
    this.encoder.keepOnly(parts);
    if (!owners.includes(this.name)) return;
    const window = this.#dilocoOf(of, parts);
    this.#open = { of, window, bytesSent, bytesReceived };
    window.advance(now);
    if (window.isDone) window.effects.done(new Map()); // there are more owners than parts
  }

  /** Goes on with other sums and fewer members. */
  reconfigure(sums: readonly OfferedSum[], members: Iterable<string>, now: number): void {
    this.#open?.window.reconfigure(sums, members, now);
  }

  /** The step is over: its mean was applied, or not. */
  close(applied: boolean): void {
    if (this.#open) this.encoder.endStep(applied);
    this.#open = undefined;
  }

  /**
   * Takes one part of a sum, or the acknowledgement of one of the mean.
   *
   * @returns false where a sum is not needed (any more)
   */
  receive(frame: Frame, now: number): boolean {
    const open = this.#open;
    if (frame.step !== open?.of.step || frame.generation < open.of.openedIn) return frame.kind !== "sum";
    if (frame.kind === "sum") {
      open.bytesSent += frame.payload.length;
      return open.window.receive(frame, now);
    }
    if (frame.lo !== open.of.openedIn || frame.hi !== countOf(open.of)) return false; // of an earlier attempt
    if (!open.window.makes(frame.part)) return false;
    open.bytesReceived += open.window.bytesOf(frame.part);
    open.window.acknowledge(frame.sender, frame.part, now);
    return true;
  }

  /** Sends again what got no answer. */
  tick(now: number): void {
    this.#open?.window.tick(now);
  }

  /** Since when each member has kept the others waiting; undefined where nothing is averaged. */
  blockedSince(): ReadonlyMap<string, number> | undefined {
    return this.#open?.window.blockedSince();
  }

  #dilocoOf(of: StepOfVectors, own: readonly number[]): ReduceWindow {
    const { sizes, effects } = this;
    const { step, owners, leaves, sums, members, tokens, lossSum, values } = of;
    const parts = Math.ceil(values / sizes.partElements);
    const whole = { step, parts, lo: of.openedIn, hi: countOf(of), tokens, lossSum, finite: true };
    const windowBytes = sizes.windowBytes / new Set(owners).size; // a member hears all of them
    const ownSizes = { ...sizes, step, leaves, values, parts: own, windowBytes };
    return new ReduceWindow(sums, members, tokens, ownSizes, this.encoder, {
      pull: ({ member, lo, hi }, part) =>
        effects.send(
          composeFrame({ ...effects.fields("pull"), step, lo, hi, part, parts, tokens }),
          member,
        ),
      sendMean: (part, payload, member) =>
        effects.send(
          composeFrame({
            ...effects.fields("mean"),
            ...whole,
            part,
            codec: this.encoder.codec.name,
            payload,
          }),
          member,
        ),
      heardAt: effects.heardAt,
      pulled: effects.pulled,
      done: (squares) => {
        const { bytesSent, bytesReceived } = this.#open!;
        effects.reduced({
          squares: [...squares].map(([part, sums]) => [part, [...sums]]),
          traffic: { bytesSent, bytesReceived },
        });
      },
    }, this.#buffers);
  }
}

/** Whether what is there of one mean can be used for the other. */
function isSameMean(one: StepOfVectors, other: StepOfVectors): boolean {
  return countOf(one) === countOf(other) && one.leaves === other.leaves && one.values === other.values &&
    one.tokens === other.tokens;
}

/** How many leaves count, by which one attempt at the mean of a round is told from another: members only become fewer. */
function countOf({ sums }: StepOfVectors): number {
  return sums.reduce((count, { lo, hi }) => count + hi - lo, 0);
}

/**
 * Values of a part: whole blocks of the norm, within the plan and what the server lets pass.
 *
 * @throws {RunError} where not even one block passes
 */
export function partElementsFor(plan: CoordinationPlan, maxPayload: number): number {
  const blockBytes = codecOf(plan.codec).byteLength(BLOCK);
  const bytes = Math.min(plan.partBytes, maxPayload - MAX_HEADER_BYTES);
  const blocks = Math.floor(bytes / blockBytes);
  if (blocks >= 1) return blocks * BLOCK;
  throw new RunError(
    `parts of a vector are at least ${blockBytes} bytes; the plan allows ${plan.partBytes} and the NATS server's ` +
      `max_payload is ${maxPayload}: raise them (the server's default is 1 MiB)`,
  );
}

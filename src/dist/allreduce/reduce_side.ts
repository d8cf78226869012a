/**
 * The reducer's side of the all-reduce (in a coordinator or a reducer process): it pulls its parts of the sums of the open step
 * from the members and sends them its parts of the mean, as frames; `window.ts` decides what is in flight.
 *
 * @module
 */

import { RunError } from "../../errors.ts";
import { MeanMemory } from "./mean_memory.ts";
import type { SumPart } from "./partial_sums.ts";
import { ReduceWindow } from "./window.ts";
import { Runs } from "./runs.ts";
import { encodeReference, type Reference } from "../memory/reference.ts";
import { Neighbours } from "../memory/neighbours.ts";
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
import { subjects } from "../protocol/transport.ts";
import type { VectorCodec } from "../vectors/codec.ts";

/** Messages with references that fill a window: one is answered while the next is worked on. */
const RUNS_OF_WINDOW = 4;

/** Sizes that all steps have in common, and the timeout of a part. */
export interface SumExchangeSizes {
  /** Values of a part. */
  partElements: number;
  /** Most bytes in flight. */
  windowBytes: number;
  /** Seconds after which a part without an answer is sent again. */
  patienceSeconds: number;
}

/** Effects of an exchange. */
export interface SumExchangeEffects {
  /** Run, sender, term and generation of this process's frames. */
  fields<K extends Frame["kind"]>(kind: K): FrameFields & { kind: K };
  /** Sends a frame on a subject of the run. */
  send(frame: Composition, subject: string): void;
  /** When a member was last heard of, in seconds. */
  heardAt(member: string): number;
  /** All own parts of a sum have arrived, to be kept if its member is lost. */
  pulled(sum: OfferedSum): void;
  /** Means have to travel, since the memory to share them can't be had. */
  cantShare(reason: string): void;
  /** All members have the own parts of the mean; with the sums of squares of the blocks of each part, and the traffic. */
  reduced(report: { squares: [part: number, squares: number[]][]; traffic: StepTraffic }): void;
}

/** The step that is reduced. */
interface OpenStep {
  readonly of: StepOfVectors;
  readonly window: ReduceWindow;
  /** Sends what was collected. */
  readonly flush: () => void;
  bytesSent: number;
  bytesReceived: number;
}

/** Reduces one owner's parts of the vectors, step after step. */
export class ReduceSide implements Disposable {
  #open?: OpenStep;
  /** Memory of members of this machine. */
  readonly #neighbours = new Neighbours();
  /** Members whose memory can't be opened though it should be: they are asked for bytes. */
  readonly #unreadable = new Set<string>();
  /** Memory for means; undefined where none was asked for, or it is being taken, or can't be had. */
  #memory?: MeanMemory;
  #isMemoryTaken = false;
  #isOver = false;
  /** Encodes the means. */
  readonly encoder: FeedbackEncoder;
  readonly #buffers: BufferPool;

  /**
   * Without an open step.
   *
   * @param name name of the owner
   * @param isSharing whether this process shares memory with its neighbours
   */
  constructor(
    readonly name: string,
    readonly sizes: SumExchangeSizes,
    codec: VectorCodec,
    readonly effects: SumExchangeEffects,
    readonly isSharing: () => boolean,
  ) {
    this.encoder = new FeedbackEncoder(codec);
    this.#buffers = new BufferPool(sizes.windowBytes);
  }

  /** The open step. */
  get open(): StepOfVectors | undefined {
    return this.#open?.of;
  }

  /** Takes the memory for means of this many values, for which members need not wait: until it is there, means travel. */
  async share(values: number): Promise<void> {
    if (this.#isMemoryTaken || values === 0) return;
    this.#isMemoryTaken = true;
    const memory = await MeanMemory.create(this.encoder.codec.byteLength(values));
    if ("refused" in memory) this.effects.cantShare(memory.refused);
    else if (this.#isOver) memory[Symbol.dispose]();
    else this.#memory = memory;
  }

  /** Gives all memory back. */
  [Symbol.dispose](): void {
    this.#isOver = true;
    this.#memory?.[Symbol.dispose]();
    this.#neighbours[Symbol.dispose]();
  }

  /** Pulls the sums of a step, or continues after a member was lost; restarts where fewer leaves count than before. */
  reduce(of: StepOfVectors, now: number): void {
    const { owners, values } = of;
    const parts = partsOf(owners, this.name, Math.ceil(values / this.sizes.partElements));
    const open = this.#open;
    if (open && isSameMean(open.of, of)) {
      open.window.reconfigure(of.sums, of.members, now, parts); // the step may end with that
      return open.flush();
    }
    const { bytesSent, bytesReceived } = open ?? { bytesSent: 0, bytesReceived: 0 };
    this.encoder.endStep(false);
    this.encoder.keepOnly(parts);
    if (!owners.includes(this.name)) return;
    const { window, flush } = this.#windowOf(of, parts);
    this.#open = { of, window, flush, bytesSent, bytesReceived };
    window.advance(now);
    flush();
    if (window.isDone) window.effects.done(new Map()); // there are more owners than parts
  }

  /** Continues with other sums and fewer members. */
  reconfigure(sums: readonly OfferedSum[], members: Iterable<string>, now: number): void {
    this.#open?.window.reconfigure(sums, members, now);
    this.#open?.flush();
  }

  /** Ends the step, whose mean was applied or not. */
  close(applied: boolean): void {
    if (this.#open) this.encoder.endStep(applied);
    this.#open = undefined;
  }

  /**
   * Accepts one part of a sum, or the acknowledgement of one part of the mean.
   *
   * @returns false where a sum is not needed (any more), or an acknowledgement is of another attempt
   */
  receive(frame: Frame, now: number): boolean {
    const open = this.#open;
    if (frame.step !== open?.of.step || frame.generation < open.of.openedIn) return frame.kind !== "sum";
    const isOfUse = frame.kind === "sum"
      ? this.#receiveSum(frame, open, now)
      : this.#acknowledge(frame, open, now);
    open.flush();
    return isOfUse;
  }

  #acknowledge(
    { openedIn, leaves, part, more, byReference, sender }: Frame,
    open: OpenStep,
    now: number,
  ): boolean {
    if (openedIn !== open.of.openedIn || leaves !== countOf(open.of)) return false; // of an earlier attempt
    for (let each = part; each <= part + more; each++) {
      if (!open.window.makes(each)) return false;
      if (!byReference) open.bytesReceived += open.window.bytesOf(each);
      open.window.acknowledge(sender, each, now);
    }
    return true;
  }

  #receiveSum(frame: Frame, open: OpenStep, now: number): boolean {
    const { window } = open;
    if (!frame.byReference) {
      open.bytesSent += frame.payload.length;
      return window.receive(frame, now);
    }
    const parts = Array.from({ length: 1 + frame.more }, (_, i) => ({ ...frame, part: frame.part + i }));
    const piece = this.#inMemoryOf(frame);
    if (!piece) {
      this.#unreadable.add(frame.sender);
      parts.forEach((part) => window.pullAgain(part));
      return false;
    }
    const { holds } = piece, stride = this.encoder.codec.byteLength(this.sizes.partElements);
    return parts
      .map((part, i) =>
        window.receive(part, now, { bytes: piece.bytes.subarray(i * stride, (i + 1) * stride), holds })
      )
      .every((isOfUse) => isOfUse);
  }

  /** What a member refers to; undefined where its memory can't be opened. */
  #inMemoryOf({ sender, payload }: Frame): SumPart | undefined {
    const piece = this.#canRefer ? this.#neighbours.read(sender, payload) : undefined;
    return piece && "bytes" in piece ? piece : undefined;
  }

  /** Only what is not decoded can be used where it lies. */
  get #canRefer(): boolean {
    return this.encoder.codec.isExact && this.isSharing();
  }

  /** Repeats what got no answer. */
  tick(now: number): void {
    this.#open?.window.tick(now);
    this.#open?.flush();
  }

  /** Since when each blocking member has kept the reduction waiting; undefined without an open step. */
  blockedSince(): ReadonlyMap<string, number> | undefined {
    return this.#open?.window.blockedSince();
  }

  #windowOf(of: StepOfVectors, own: readonly number[]): Pick<OpenStep, "window" | "flush"> {
    const { sizes, effects, encoder: { codec } } = this;
    const { step, owners, leaves, sums, members, tokens, lossSum, values } = of;
    const far = new Set(of.far);
    if (this.#canRefer && members.some((member) => !far.has(member))) {
      this.share(Math.min(values, own.length * sizes.partElements));
    }
    const parts = Math.ceil(values / sizes.partElements), partBytes = codec.byteLength(sizes.partElements);
    const windowBytes = sizes.windowBytes / new Set(owners).size; // a member receives from all of them
    const ownSizes = { ...sizes, step, leaves, values, parts: own, windowBytes };
    this.#neighbours.closeUnused();
    this.#memory?.begin();
    const memory = this.#canRefer ? this.#memory : undefined;
    const { run } = effects.fields("mean");
    const most = Math.max(1, Math.floor(windowBytes / (RUNS_OF_WINDOW * partBytes)));
    const pull = ({ member, lo, hi }: OfferedSum, asked: Partial<Frame>) =>
      effects.send(
        composeFrame({ ...effects.fields("pull"), step, lo, hi, parts, tokens, ...asked }),
        subjects.to(run, member),
      );
    const pulls = new Runs<OfferedSum>(
      most,
      ({ part, more, first }) => pull(first, { part, more, byReference: true }),
    );
    const whole = { step, parts, openedIn: of.openedIn, leaves: countOf(of), tokens, lossSum, finite: true };
    const publish = (subject: string, mean: Partial<Frame>) =>
      effects.send(
        composeFrame({ ...effects.fields("mean"), ...whole, codec: codec.name, ...mean }),
        subject,
      );
    const means = new Runs<Reference>(most, ({ part, more, first }) => {
      const end = Math.min((part + more + 1) * sizes.partElements, values);
      const length = codec.byteLength(end - part * sizes.partElements);
      const payload = encodeReference({ ...first, length });
      publish(subjects.near(run), { part, more, byReference: true, payload });
    });
    const window = new ReduceWindow(sums, members, tokens, ownSizes, this.encoder, {
      isNear: (member) => this.#canRefer && !far.has(member) && !this.#unreadable.has(member),
      pull: (sum, part, byReference) =>
        byReference ? pulls.add(`${sum.member} ${sum.lo}-${sum.hi}`, part, sum) : pull(sum, { part }),
      // Parts that come later, from an owner that was lost, have no place there and travel.
      share: (part, length) => memory?.at(own.indexOf(part) * partBytes, length),
      sendMean: (part, { bytes: payload, reference }, member) => {
        if (member !== undefined || !reference) {
          return publish(subjects.heardBy(run, member), { part, payload });
        }
        means.add("mean", part, reference);
        if (far.size > 0) publish(subjects.far(run), { part, payload });
      },
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
    const flush = () => {
      pulls.flush();
      means.flush();
    };
    return { window, flush };
  }
}

/** Whether the parts of one mean can be used for the other. */
function isSameMean(one: StepOfVectors, other: StepOfVectors): boolean {
  return countOf(one) === countOf(other) && one.leaves === other.leaves && one.values === other.values &&
    one.tokens === other.tokens;
}

/** Number of leaves that count. It identifies the attempt at the mean of a round, because members can only become fewer. */
function countOf({ sums }: StepOfVectors): number {
  return sums.reduce((count, { lo, hi }) => count + hi - lo, 0);
}

/**
 * Values of a part: whole blocks of the norm, within the plan's and the server's limits.
 *
 * @throws {RunError} where not even one block is within them
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

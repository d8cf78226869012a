/**
 * A worker's side of the all-reduce: the sums that it sends when they are pulled, and the means that it collects.
 *
 * @module
 */

import { setImmediate } from "node:timers";
import type { ReportedSum } from "../replica/accumulate.ts";
import { FeedbackEncoder } from "../vectors/error_feedback.ts";
import { type Composition, compositionOf, type Frame } from "../protocol/frames.ts";
import { type Mean, Means } from "./mean_buffer.ts";
import type { SharedSums, SumPlace } from "./shared_sums.ts";
import { encodeReference } from "../memory/reference.ts";
import type { Refusal } from "../memory/libc.ts";
import type { Attempt } from "../protocol/messages.ts";
import type { FaultPoint } from "../protocol/fault_points.ts";
import type { Range } from "../vectors/tree.ts";
import type { VectorCodec } from "../vectors/codec.ts";

/** Fields of a frame about vectors, besides the worker's own data. */
export type VectorFields = Pick<Frame, "kind" | "step"> & Partial<Frame>;

/** Of a message with parts of a sum. */
type PartFields = VectorFields & { readonly part: number; readonly more: number };

/** Effects of an exchange. */
export interface ExchangeEffects {
  /** Sends a frame to the reducer that pulled it; the payload is written within the call, or not at all. */
  send(reducer: string, fields: VectorFields, payload: Composition): void;
  /** A fault point is reached. */
  reach(point: FaultPoint, step: number): void;
  /** Reports an error in a callback. */
  fail(error: unknown): void;
}

/** A sum that can be pulled. */
interface KeptSum {
  readonly sum: ReportedSum;
  /** Its vector. */
  readonly values: Float32Array;
  /** Where neighbours read it. */
  readonly place?: SumPlace;
}

/** Sums of the open step, and means. */
export class MemberSide implements Disposable {
  /** All-reduce payload sent, in bytes, including repetitions. */
  bytesSent = 0;
  /** All-reduce payload received, in bytes, including repetitions. */
  bytesReceived = 0;
  readonly #means: Means;
  /** Encodes the sums. */
  readonly encoder: FeedbackEncoder;
  /** Sums by range; kept until the commit, so that parts can be pulled again. */
  readonly #sums = new Map<string, KeptSum>();
  /** Pending pulls; one that is repeated meanwhile is answered once. */
  readonly #pulls = new Map<string, Frame>();
  /** What was sent so far, by range and part. */
  readonly #handedOut = new Set<string>();
  /** The step that the sums belong to. */
  #step = 0;

  /**
   * Without sums and means.
   *
   * @param size values of a vector
   * @param partElements values of a part
   * @param codec encodes sums and means
   * @param shared memory for sums that neighbours read
   */
  constructor(
    size: number,
    readonly partElements: number,
    readonly codec: VectorCodec,
    readonly effects: ExchangeEffects,
    readonly shared?: SharedSums,
  ) {
    this.#means = new Means(size, partElements, codec);
    this.encoder = new FeedbackEncoder(codec);
  }

  /** Memory for the next sum of a step, where neighbours read it; undefined where there is none. */
  placeFor(step: number): SumPlace | undefined {
    this.#begin(step);
    return this.shared?.next();
  }

  /**
   * Keeps a sum of a step until it is pulled.
   *
   * @param values its vector
   * @param place where they lie, if neighbours read them: the last result of {@linkcode MemberSide.placeFor}
   */
  keep(step: number, [lo, hi]: Range, sum: ReportedSum, values: Float32Array, place?: SumPlace): void {
    this.#begin(step);
    if (place) this.shared!.keep(place);
    this.#sums.set(`${lo}-${hi}`, { sum, values, place });
  }

  #begin(step: number): void {
    if (step !== this.#step) this.forgetSums();
    this.#step = step;
  }

  /** The sum over a range of a step, where it was computed. */
  sumOf(step: number, [lo, hi]: Range): ReportedSum | undefined {
    return step === this.#step ? this.#sums.get(`${lo}-${hi}`)?.sum : undefined;
  }

  /** The open step has ended; where it was applied, the residuals of its sums are added to the next step (error feedback). */
  endStep(applied: boolean): void {
    this.encoder.endStep(applied);
  }

  /** Discards the residuals of earlier sums. */
  dropResiduals(): void {
    this.encoder.drop();
  }

  /** Discards sums and means of the steps up to this one. */
  forgetThrough(step: number): void {
    if (this.#step <= step) this.forgetSums();
    this.#means.forgetThrough(step);
  }

  /** Answers a pull after the messages that have arrived are handled. */
  pull(frame: Frame): void {
    if (this.#pulls.size === 0) {
      setImmediate(() => {
        try {
          this.#answerPulls();
        } catch (error) {
          this.effects.fail(error); // in a callback it would be lost
        }
      });
    }
    this.#pulls.set(`${frame.lo}-${frame.hi}/${frame.part}+${frame.more}`, frame);
  }

  #answerPulls(): void {
    for (const pull of this.#pulls.values()) {
      const { step, lo, hi, part, more, byReference } = pull;
      const kept = step === this.#step ? this.#sums.get(`${lo}-${hi}`) : undefined;
      if (!kept?.values.length) continue; // its memory was freed: the step has ended
      if (kept.place && byReference) this.#answer(pull, part, more, kept);
      else for (let i = 0; i <= more; i++) this.#answer(pull, part + i, 0, kept);
    }
    this.#pulls.clear();
  }

  /** Sends a part, or a reference to some in a row. */
  #answer(pull: Frame, part: number, more: number, { values, place }: KeptSum): void {
    const { sender, step, lo, hi, parts, byReference } = pull;
    this.effects.reach(this.#handedOut.size === 0 ? "before-upload" : "mid-upload", step);
    const fields = {
      kind: "sum",
      step,
      lo,
      hi,
      part,
      more,
      parts,
      finite: true,
      codec: this.codec.name,
    } as const;
    if (place && byReference) this.#sendReference(sender, fields, place);
    else this.#sendPart(sender, fields, values, pull);
    for (let i = 0; i <= more; i++) this.#handedOut.add(`${lo}-${hi}/${part + i}`);
    if (this.#handedOut.size === parts * this.#sums.size) this.effects.reach("after-upload", step);
  }

  #sendReference(reducer: string, fields: PartFields, place: SumPlace): void {
    const from = fields.part * this.partElements;
    const count = Math.min((1 + fields.more) * this.partElements, place.values.length - from);
    const payload = compositionOf(encodeReference(this.shared!.referenceTo(place, from, count)));
    this.effects.send(reducer, { ...fields, byReference: true }, payload);
  }

  /** Encoded for each pull, which gives the same bytes until the commit. */
  #sendPart(
    reducer: string,
    fields: PartFields,
    sum: Float32Array,
    { step, lo, hi, tokens }: Frame,
  ): void {
    const { part } = fields;
    const values = sum.subarray(part * this.partElements, (part + 1) * this.partElements);
    const length = this.codec.byteLength(values.length);
    this.bytesSent += length;
    const name = `sum ${lo}-${hi} of step ${step}`;
    const write = (into: Uint8Array) => this.encoder.encode(part, values, tokens, name, into);
    this.effects.send(reducer, fields, { length, write });
  }

  /**
   * Takes a part of a mean.
   *
   * @param mayBorrow whether its reducer leaves it where it lies until this member has applied the step
   * @returns whether it was taken; a refusal where its memory can't be opened
   */
  takeMean(frame: Frame, mayBorrow: boolean): boolean | Refusal {
    const taken = this.#means.take(frame, mayBorrow);
    if (taken === true && !frame.byReference) this.bytesReceived += frame.payload.length;
    return taken;
  }

  /** The mean of a step; undefined where parts are missing. */
  meanOf(step: number, attempt?: Attempt): Mean | undefined {
    return this.#means.of(step, attempt);
  }

  /** Discards all sums and the residuals of the open step: no reducer has used them. */
  forgetSums(): void {
    this.encoder.endStep(false);
    this.shared?.forget();
    this.#sums.clear();
    this.#handedOut.clear();
  }

  /** Discards all means. */
  forgetMeans(): void {
    this.#means.forgetThrough(Infinity);
  }

  /** Gives shared memory back. */
  [Symbol.dispose](): void {
    this.shared?.[Symbol.dispose]();
    this.#means[Symbol.dispose]();
  }
}

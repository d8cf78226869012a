/**
 * A worker's side of the all-reduce: the sums that it sends when they are pulled, and the means that it collects.
 *
 * @module
 */

import { setImmediate } from "node:timers";
import type { ReportedSum } from "../replica/accumulate.ts";
import { FeedbackEncoder } from "../vectors/error_feedback.ts";
import type { Composition, Frame } from "../protocol/frames.ts";
import { Means } from "./mean_buffer.ts";
import type { Attempt } from "../protocol/messages.ts";
import type { FaultPoint } from "../protocol/fault_points.ts";
import type { Range } from "../vectors/tree.ts";
import type { VectorCodec } from "../vectors/codec.ts";

/** Fields of a frame about vectors, besides the worker's own data. */
export type VectorFields = Pick<Frame, "kind" | "step"> & Partial<Frame>;

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
}

/** Sums of the open step, and means. */
export class MemberSide {
  /** All-reduce payload sent, in bytes, including repetitions. */
  bytesSent = 0;
  /** All-reduce payload received, in bytes, including repetitions. */
  bytesReceived = 0;
  readonly #means: Means;
  /** Encodes the sums. */
  readonly encoder: FeedbackEncoder;
  /** Sums by range; kept until the commit, so that parts can be pulled again. */
  readonly #sums = new Map<string, KeptSum>();
  /** Pending pulls; a pull that is repeated meanwhile is answered once. */
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
   */
  constructor(
    size: number,
    readonly partElements: number,
    readonly codec: VectorCodec,
    readonly effects: ExchangeEffects,
  ) {
    this.#means = new Means(size, partElements, codec);
    this.encoder = new FeedbackEncoder(codec);
  }

  /**
   * Keeps a sum of a step until it is pulled.
   *
   * @param values its vector
   */
  keep(step: number, [lo, hi]: Range, sum: ReportedSum, values: Float32Array): void {
    if (step !== this.#step) this.forgetSums();
    this.#step = step;
    this.#sums.set(`${lo}-${hi}`, { sum, values });
  }

  /** The sum over a range of a step, where it was computed. */
  sumOf(step: number, [lo, hi]: Range): ReportedSum | undefined {
    return this.#keptSum(step, [lo, hi])?.sum;
  }

  #keptSum(step: number, [lo, hi]: Range): KeptSum | undefined {
    return step === this.#step ? this.#sums.get(`${lo}-${hi}`) : undefined;
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
    this.#pulls.set(`${frame.lo}-${frame.hi}/${frame.part}`, frame);
  }

  #answerPulls(): void {
    for (const [key, pull] of this.#pulls) {
      const { sender, step, lo, hi, part, parts } = pull;
      const values = this.#keptSum(step, [lo, hi])?.values;
      if (!values?.length) continue; // its memory was freed: the step has ended
      const payload = this.#partOf(values, pull);
      this.effects.reach(this.#handedOut.size === 0 ? "before-upload" : "mid-upload", step);
      this.bytesSent += payload.length;
      const { name: codec } = this.codec;
      this.effects.send(sender, { kind: "sum", step, lo, hi, part, parts, finite: true, codec }, payload);
      this.#handedOut.add(key);
      if (this.#handedOut.size === parts * this.#sums.size) this.effects.reach("after-upload", step);
    }
    this.#pulls.clear();
  }

  /** Encoded for each pull, which gives the same bytes until the commit. */
  #partOf(sum: Float32Array, { step, lo, hi, part, tokens }: Frame): Composition {
    const values = sum.subarray(part * this.partElements, (part + 1) * this.partElements);
    const name = `sum ${lo}-${hi} of step ${step}`;
    return {
      length: this.codec.byteLength(values.length),
      write: (into) => this.encoder.encode(part, values, tokens, name, into),
    };
  }

  /** Takes a part of a mean. */
  takeMean(frame: Frame): boolean {
    const taken = this.#means.take(frame);
    if (taken) this.bytesReceived += frame.payload.length;
    return taken;
  }

  /** The mean of a step; undefined where parts are missing. */
  meanOf(step: number, attempt?: Attempt): Float32Array | undefined {
    return this.#means.of(step, attempt);
  }

  /** Discards all sums and the residuals of the open step: no reducer has used them. */
  forgetSums(): void {
    this.encoder.endStep(false);
    this.#sums.clear();
    this.#handedOut.clear();
  }

  /** Discards all means. */
  forgetMeans(): void {
    this.#means.forgetThrough(Infinity);
  }
}

/**
 * A worker's vectors: the sums that it hands out when they are pulled, and the mean that it collects.
 *
 * @module
 */

import { setImmediate } from "node:timers";
import { RunError } from "../errors.ts";
import { floatBytes, type Frame } from "./frames.ts";
import { MeanBuffer } from "./mean_buffer.ts";

/** What a frame about vectors says besides the worker's own data. */
export type VectorFields = Pick<Frame, "kind" | "step"> & Partial<Frame>;

/** Sums and mean of the open step. */
export class VectorExchange {
  /** Averaging payload sent, in bytes; what was sent twice counts twice. */
  bytesSent = 0;
  /** Averaging payload received, in bytes; what came twice counts twice. */
  bytesReceived = 0;
  readonly #mean: MeanBuffer;
  /** Sums by range; kept until the commit, so that parts can be pulled again. */
  readonly #sums = new Map<string, Float32Array>();
  /** Pulls to be answered; a pull that was repeated meanwhile is answered once. */
  readonly #pulls = new Map<string, Frame>();
  /** The step that the sums belong to. */
  #step = 0;

  /**
   * Nothing to hand out, nothing collected.
   *
   * @param size values of a vector
   * @param partElements values of a part
   * @param send sends a frame to the coordinator
   */
  constructor(
    size: number,
    readonly partElements: number,
    readonly send: (fields: VectorFields) => void,
  ) {
    this.#mean = new MeanBuffer(size, partElements);
  }

  /** Keeps a sum of a step, to be pulled. */
  keep(step: number, lo: number, hi: number, sum: Float32Array): void {
    this.#step = step;
    this.#sums.set(`${lo}-${hi}`, sum);
  }

  /** Forgets the sums: their step is committed. */
  clear(): void {
    this.#sums.clear();
  }

  /** Answers a pull as soon as the messages that have arrived are read. */
  pull(frame: Frame): void {
    if (this.#pulls.size === 0) setImmediate(() => this.#answerPulls());
    this.#pulls.set(`${frame.lo}-${frame.hi}/${frame.part}`, frame);
  }

  #answerPulls(): void {
    for (const { step, lo, hi, part, parts } of this.#pulls.values()) {
      const sum = step === this.#step ? this.#sums.get(`${lo}-${hi}`) : undefined;
      if (!sum) continue;
      const payload = floatBytes(sum.subarray(part * this.partElements, (part + 1) * this.partElements));
      this.bytesSent += payload.length;
      this.send({ kind: "sum", step, lo, hi, part, parts, finite: true, codec: "float32", payload });
    }
    this.#pulls.clear();
  }

  /** Takes a part of the mean and acknowledges it, again where it was acknowledged before. */
  takeMean(frame: Frame): void {
    if (!this.#mean.take(frame)) return;
    this.bytesReceived += frame.payload.length;
    this.send({ kind: "ack", step: frame.step, part: frame.part });
  }

  /**
   * The mean of a step that was committed.
   *
   * @throws {RunError} where parts are missing: the coordinator commits only what all have acknowledged
   */
  meanOf(step: number): Float32Array {
    if (this.#mean.isComplete(step)) return this.#mean.values;
    throw new RunError(`step ${step} was committed before all of its mean had arrived here`);
  }
}

/**
 * TensorFlow's status, and the error that is thrown for it.
 *
 * @module
 */

import { type TensorFlowApi, textAt } from "./symbols.ts";

/** Names of `TF_Code`, by number. */
const CODES = [
  "OK",
  "CANCELLED",
  "UNKNOWN",
  "INVALID_ARGUMENT",
  "DEADLINE_EXCEEDED",
  "NOT_FOUND",
  "ALREADY_EXISTS",
  "PERMISSION_DENIED",
  "RESOURCE_EXHAUSTED",
  "FAILED_PRECONDITION",
  "ABORTED",
  "OUT_OF_RANGE",
  "UNIMPLEMENTED",
  "INTERNAL",
  "UNAVAILABLE",
  "DATA_LOSS",
  "UNAUTHENTICATED",
] as const;

/** An error that TensorFlow reported: what was being done, then TensorFlow's message. */
export class TensorFlowError extends Error {
  /** "TensorFlowError" */
  override readonly name = "TensorFlowError";

  /**
   * An error with a status that is not OK.
   *
   * @param doing what was being done, for example "MatMul"
   * @param said TensorFlow's message
   * @param code TensorFlow's name of the kind of error, for example "INVALID_ARGUMENT"
   */
  constructor(doing: string, said: string, readonly code: string) {
    super(`${doing}: ${said} (${code})`);
  }
}

/** A `TF_Status`: passed to a call, then checked. */
export class Status implements Disposable {
  /** What is passed to the call. */
  readonly pointer: Deno.PointerValue;
  readonly #api: TensorFlowApi;

  /** A new one. */
  constructor(api: TensorFlowApi) {
    this.#api = api;
    this.pointer = api.TF_NewStatus();
  }

  /**
   * Throws what the last call reported.
   *
   * @throws {TensorFlowError} where that was not OK
   */
  check(doing: string): void {
    const code = this.#api.TF_GetCode(this.pointer);
    if (code !== 0) throw new TensorFlowError(doing, textAt(this.#api.TF_Message(this.pointer)), CODES[code]);
  }

  /** Frees it. */
  [Symbol.dispose](): void {
    this.#api.TF_DeleteStatus(this.pointer);
  }
}

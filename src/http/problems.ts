/**
 * What goes wrong with a request, told to who made it.
 *
 * @module
 */

/** A request that is answered with an error. */
export class HttpError extends Error {
  /** As in messages. */
  override readonly name = "HttpError";

  /** @param message for people */
  constructor(readonly status: 400 | 401 | 403 | 404 | 405 | 413 | 414 | 503, message: string) {
    super(message);
  }
}

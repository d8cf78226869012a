/**
 * The secret of a server that other machines reach: it stands in the address that the server prints, and after the first visit in a
 * cookie that no script reads.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { timingSafeEqual } from "node:crypto";

const BYTES = 32;

/** A random secret, for as long as a server lives. */
export class Secret {
  readonly #key = Buffer.from(crypto.getRandomValues(new Uint8Array(BYTES))).toString("base64url");
  readonly #cookie: string;

  /** @param port of the server: cookies are the same for all ports of a name, and so its name holds it */
  constructor(port: number) {
    this.#cookie = `flashmob-${port}`;
  }

  /** An address with the secret in it. */
  addTo(url: string): string {
    return `${url}?key=${this.#key}`;
  }

  /** Whether a request brings the secret, in its address or its cookie. */
  isKnownBy(request: Request): boolean {
    return this.isInAddress(request) || this.#cookies(request).some((value) => this.#is(value));
  }

  /** Whether the secret stands in the address. */
  isInAddress(request: Request): boolean {
    return this.#is(new URL(request.url).searchParams.get("key") ?? "");
  }

  /** A header that leaves the secret with the browser. */
  get setCookie(): string {
    return `${this.#cookie}=${this.#key}; Path=/; HttpOnly; SameSite=Strict`;
  }

  #cookies(request: Request): string[] {
    return (request.headers.get("cookie") ?? "").split(";").map((pair) => pair.trim().split("="))
      .filter(([name]) => name === this.#cookie).map(([, value]) => value ?? "");
  }

  #is(text: string): boolean {
    const given = Buffer.from(text), wanted = Buffer.from(this.#key);
    return given.length === wanted.length && timingSafeEqual(given, wanted);
  }
}

/**
 * Checksums of much data, computed piece by piece.
 *
 * @module
 */

import { createHash } from "node:crypto";

/** Bytes that are hashed at once, some milliseconds' work. */
const AT_ONCE = 4 * 1024 * 1024;

/**
 * SHA-256 in hexadecimal. The event loop runs between pieces of some megabytes, because the process has heartbeats to send.
 *
 * @example
 * ```ts
 * import { sha256 } from "./hashing.ts";
 * console.assert((await sha256([new Uint8Array()])).startsWith("e3b0c442"));
 * ```
 */
export async function sha256(pieces: Iterable<Uint8Array>): Promise<string> {
  const hash = createHash("sha256");
  for (const piece of pieces) {
    for (let at = 0; at < piece.length; at += AT_ONCE) {
      if (at > 0) await new Promise((resolve) => setTimeout(resolve));
      hash.update(piece.subarray(at, at + AT_ONCE));
    }
  }
  return hash.digest("hex");
}

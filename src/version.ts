/**
 * The version of flashmob, a part of the numerics fingerprint: two versions may give two sets of bits.
 *
 * @module
 */

import about from "../deno.json" with { type: "json" };

/** As in deno.json. */
export const VERSION: string = about.version;

/**
 * Prints the tests that a bare `deno test` runs (`deno.json`), as `--ignore` takes them.
 *
 * @module
 */

import settings from "../deno.json" with { type: "json" };

console.log(settings.test.include.join());

/**
 * Prints the tests of `deno task test:fast`, as `--ignore` takes them: those that a bare `deno test` runs (`deno.json`), without
 * the whole runs of `tests/dist`, whose clocks need a machine that does nothing else.
 *
 * @module
 */

import settings from "../deno.json" with { type: "json" };

console.log(settings.test.include.filter((path) => !/^tests\/dist\/\w+_test\.ts$/.test(path)).join());

/** Opens the segment at an address and prints its first value, or why it can't. @module */

import { ForeignSegment } from "../../../src/dist/memory/foreign_segment.ts";

const segment = ForeignSegment.open(JSON.parse(Deno.args[0]));
console.log(JSON.stringify("refused" in segment ? segment : { value: segment.floats[0] }));

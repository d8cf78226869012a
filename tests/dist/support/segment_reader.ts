/** Opens the segment at an address and creates one: prints the former's first value, and why either can't be. @module */

import { ForeignSegment } from "../../../src/dist/memory/foreign_segment.ts";
import { Segment } from "../../../src/dist/memory/segment.ts";

const opened = ForeignSegment.open(JSON.parse(Deno.args[0]));
const created = await Segment.create(8);
console.log(JSON.stringify({
  opened: "refused" in opened ? opened.refused : opened.floats[0],
  created: "refused" in created ? created.refused : created.bytes[0],
}));

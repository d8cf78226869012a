/** @module */

import { decodeFrame, encodeFrame, type Frame } from "../../../src/dist/protocol/frames.ts";
import { floatBytes } from "../../../src/dist/vectors/floats.ts";

/** One of two parts of the mean of step 3, all of one value. */
export function partOfMean(
  part: number,
  value: number,
  attempt: { openedIn: number; leaves: number },
): Frame {
  const payload = floatBytes(new Float32Array(2).fill(value));
  const frame = {
    kind: "mean",
    run: "r",
    sender: "c",
    step: 3,
    part,
    parts: 2,
    ...attempt,
    payload,
  } as const;
  return decodeFrame(encodeFrame({ ...frame, codec: "float32" }), "r") as Frame;
}

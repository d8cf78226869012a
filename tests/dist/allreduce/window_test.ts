/** @module */

import assert from "node:assert/strict";
import { ReduceWindow } from "../../../src/dist/allreduce/window.ts";
import type { SumPart } from "../../../src/dist/allreduce/partial_sums.ts";
import { codecOf } from "../../../src/dist/vectors/codecs.ts";
import { FeedbackEncoder } from "../../../src/dist/vectors/error_feedback.ts";
import { decodeFrame, encodeFrame, type Frame } from "../../../src/dist/protocol/frames.ts";
import { BLOCK, blockSquares, normOf } from "../../../src/dist/vectors/sums.ts";
import { noise } from "../support/toy.ts";
import { floatBytes, floatsOf } from "../../../src/dist/vectors/floats.ts";

const VALUES = 10 * BLOCK - 5; // 10 parts, the last one shorter
const SUMS = [{ member: "a", lo: 0, hi: 2 }, { member: "b", lo: 2, hi: 4 }];
const VECTORS = [noise(VALUES, 1), noise(VALUES, 2)];
const TOKENS = 7;

/** A reduction on paper: what it pulls and sends is recorded. */
class Paper {
  readonly pulls: { sum: (typeof SUMS)[number]; part: number }[] = [];
  readonly asked: { lo: number; part: number }[] = [];
  readonly sent: { part: number; member?: string; payload: Uint8Array }[] = [];
  readonly heard: Record<string, number> = { a: 0, b: 0 };
  /** Sums that were pulled as a whole. */
  readonly pulled: [number, number][] = [];
  norm: number | undefined;
  readonly averaging: ReduceWindow;

  constructor(windowParts: number) {
    const sizes = {
      step: 1,
      leaves: 4,
      values: VALUES,
      parts: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
      partElements: BLOCK,
      windowBytes: windowParts * 4 * BLOCK,
      patienceSeconds: 2,
    };
    this.averaging = new ReduceWindow(
      SUMS,
      ["a", "b"],
      TOKENS,
      sizes,
      new FeedbackEncoder(codecOf("float32")),
      {
        pull: (sum, part) => {
          this.asked.push({ lo: sum.lo, part });
          this.pulls.push({ sum: SUMS.find(({ lo }) => lo === sum.lo) ?? SUMS[1], part });
        },
        isNear: () => false,
        share: () => undefined,
        sendMean: (part, { bytes: payload }, member) => this.sent.push({ part, member, payload }),
        pulled: ({ lo, hi }) => this.pulled.push([lo, hi]),
        heardAt: (member) => this.heard[member],
        done: (squares) =>
          this.norm = normOf([0, 1, 2, 3, 4, 5, 6, 7, 8, 9].flatMap((part) => squares.get(part)!)),
      },
    );
    this.averaging.advance(0);
  }

  /** The member's answer to a pull. */
  answer({ sum, part }: (typeof this.pulls)[number], now = 0, inMemory?: Partial<SumPart>): boolean {
    const payload = floatBytes(VECTORS[SUMS.indexOf(sum)].subarray(part * BLOCK, (part + 1) * BLOCK));
    const { lo, hi } = sum;
    const frame = {
      kind: "sum",
      run: "r",
      sender: sum.member,
      lo,
      hi,
      part,
      codec: "float32",
      payload,
    } as const;
    return this.averaging.receive(
      decode(encodeFrame(frame)),
      now,
      inMemory && { bytes: payload, ...inMemory },
    );
  }
}

function decode(bytes: Uint8Array): Frame {
  const frame = decodeFrame(bytes, "r");
  assert.ok(!("refused" in frame));
  return frame;
}

Deno.test("a reduction gives the weighted mean and its norm, in any order of answers", () => {
  for (const takeLast of [false, true]) {
    const paper = new Paper(6);
    while (paper.norm === undefined) {
      const pull = takeLast ? paper.pulls.pop() : paper.pulls.shift();
      if (pull) paper.answer(pull);
      else assert.fail("it stands still");
      for (const { part } of paper.sent) {
        for (const member of ["a", "b"]) paper.averaging.acknowledge(member, part, 0);
      }
    }
    const mean = VECTORS[0].map((value, i) => Math.fround(Math.fround(value + VECTORS[1][i]) / TOKENS));
    for (const { part, payload } of paper.sent) {
      assert.deepEqual(floatsOf(payload), mean.slice(part * BLOCK, (part + 1) * BLOCK));
    }
    assert.equal(paper.sent.length, 10);
    assert.equal(paper.norm, normOf(blockSquares(mean)));
  }
});

Deno.test("a reduction pulls no more than its window, in the order of the parts", () => {
  const paper = new Paper(4);
  assert.deepEqual(paper.pulls.map(({ sum, part }) => [sum.member, part]), [["a", 0], ["b", 0], ["a", 1], [
    "b",
    1,
  ]]);
  paper.answer(paper.pulls[0]);
  assert.deepEqual(paper.pulls.slice(4).map(({ sum, part }) => [sum.member, part]), [["a", 2]]);
});

Deno.test("a reduction pauses until the mean is acknowledged, holding about three windows at most", () => {
  const paper = new Paper(4);
  let most = 0;
  for (let pull = paper.pulls.shift(); pull; pull = paper.pulls.shift()) {
    paper.answer(pull);
    most = Math.max(most, paper.averaging.heldBytes);
  }
  assert.equal(paper.sent.length, 4, "the window is full of parts that nobody has acknowledged");
  assert.ok(most <= 3 * 4 * 4 * BLOCK);
  paper.averaging.acknowledge("a", 0, 0);
  assert.equal(paper.pulls.length, 0, "b has not acknowledged it");
  paper.averaging.acknowledge("b", 0, 0);
  assert.deepEqual(paper.pulls.map(({ sum, part }) => [sum.member, part]), [["a", 4], ["b", 4]]);
});

Deno.test("a window smaller than a part still lets one through", () => {
  const paper = new Paper(0.1);
  while (paper.norm === undefined) {
    const pull = paper.pulls.shift();
    assert.ok(pull && paper.pulls.length === 0, "one at a time");
    paper.answer(pull);
    for (const { part } of paper.sent) {
      for (const member of ["a", "b"]) paper.averaging.acknowledge(member, part, 0);
    }
  }
});

Deno.test("a pull without an answer is repeated when its member was heard of since, ever more rarely", () => {
  const paper = new Paper(1);
  const asked = () => paper.pulls.length;
  paper.averaging.tick(5);
  assert.equal(asked(), 1, "the member is silent: another pull would only pile up");
  paper.heard.a = 5.5;
  paper.averaging.tick(6);
  assert.equal(asked(), 2);
  paper.heard.a = 9;
  paper.averaging.tick(9);
  assert.equal(asked(), 2, "the second time it waits 4 s");
  paper.averaging.tick(10);
  assert.equal(asked(), 3);
});

Deno.test("a part of the mean without an acknowledgement is sent again, only to the members that lack it", () => {
  const paper = new Paper(2);
  paper.answer(paper.pulls[0]);
  paper.answer(paper.pulls[1]);
  paper.averaging.acknowledge("a", 0, 0);
  paper.heard.a = paper.heard.b = 1;
  paper.averaging.tick(1.9);
  assert.equal(paper.sent.length, 1);
  paper.averaging.tick(2);
  assert.deepEqual(paper.sent.map(({ part, member }) => [part, member]), [[0, undefined], [0, "b"]]);
});

Deno.test("a reduction accepts each part once, and only what it pulled", () => {
  const paper = new Paper(2);
  assert.ok(!paper.answer({ sum: SUMS[0], part: 7 }), "not asked for");
  const { lo, hi } = SUMS[0];
  const short = {
    kind: "sum",
    run: "r",
    sender: "a",
    lo,
    hi,
    codec: "float32",
    payload: new Uint8Array(8),
  } as const;
  assert.ok(!paper.averaging.receive(decode(encodeFrame(short)), 0), "not of its size");
  assert.ok(paper.answer(paper.pulls[0]));
  assert.ok(!paper.answer(paper.pulls[0]), "doubled");
});

Deno.test("a reduction continues without a lost member: what has arrived is kept, the rest comes from others", () => {
  const paper = new Paper(4);
  const [a0, b0, a1] = paper.pulls.splice(0);
  paper.answer(a0);
  paper.answer(b0);
  paper.answer(a1);
  // b is lost with part 1 of its sum [2, 4) in flight: a has [2, 3) now, and c [3, 4).
  paper.pulls.length = 0;
  const halves = [{ member: "a", lo: 2, hi: 3 }, { member: "a", lo: 3, hi: 4 }];
  paper.averaging.acknowledge("a", 0, 0);
  paper.averaging.reconfigure([SUMS[0]], ["a"], 1);
  assert.ok(!paper.answer(b0, 1), "what was asked of the lost member is not wanted any more");
  const asked = paper.asked.length;
  const ahead = paper.pulls.splice(0);
  paper.averaging.reconfigure([SUMS[0], ...halves], ["a"], 1);
  for (const pull of ahead) paper.answer(pull, 1); // that frees space
  const after = paper.asked.slice(asked);
  assert.ok(!after.some(({ part }) => part === 0), "part 0 is complete, and a has acknowledged it");
  assert.ok(!after.some(({ lo, part }) => lo === 0 && part === 1), "part 1 of the other sum is kept");
  assert.ok(
    after.some(({ lo, part }) => lo === 2 && part === 1) &&
      after.some(({ lo, part }) => lo === 3 && part === 1),
  );
});

Deno.test("a reduction reports which sums are complete, and since when each member is blocking", () => {
  const paper = new Paper(100);
  assert.deepEqual(paper.averaging.blockedSince(), new Map([["a", 0], ["b", 0]]));
  for (const pull of paper.pulls.filter(({ sum }) => sum.member === "b")) paper.answer(pull, 3);
  assert.deepEqual(paper.pulled, [[2, 4]]);
  assert.deepEqual(paper.averaging.blockedSince(), new Map([["a", 0]]));
  paper.answer(paper.pulls[0], 5);
  assert.deepEqual(
    paper.averaging.blockedSince(),
    new Map([["a", 5], ["b", 5]]),
    "b has not acknowledged part 0",
  );
});

Deno.test("a sum in a member's memory is not copied, and counts only if it is there until it was added", () => {
  const paper = new Paper(1);
  const [a0, b0] = [0, 1].map((i) => ({ sum: SUMS[i], part: 0 }));
  let looks = 0;
  const breaks = () => ++looks === 1; // it is there when it arrives, and not when it was added
  assert.ok(paper.answer(a0, 0, { holds: breaks }));
  assert.ok(paper.averaging.heldBytes <= 4 * BLOCK, "only what is in flight");
  assert.ok(paper.answer(b0, 0));
  assert.equal(paper.sent.length, 0, "nothing was made of it");
  assert.deepEqual(
    paper.asked.filter(({ part }) => part === 0).map(({ lo }) => lo),
    [0, 2, 0],
    "a's comes again",
  );
  assert.ok(paper.answer(a0, 0, { holds: () => true }));
  const mean = VECTORS[0].slice(0, BLOCK).map((value, i) =>
    Math.fround(Math.fround(value + VECTORS[1][i]) / TOKENS)
  );
  assert.deepEqual(paper.sent.map(({ payload }) => floatsOf(payload)), [mean], "b's was kept");
});

Deno.test("a sum that is overwritten when it arrives is not taken", () => {
  const paper = new Paper(1);
  assert.ok(!paper.answer(paper.pulls[0], 0, { holds: () => false }));
  assert.ok(paper.answer(paper.pulls[0], 0), "it is still wanted");
});

Deno.test("where a lost member has overwritten its sum nobody has it: the reduction fails, for another to begin again", () => {
  const paper = new Paper(1);
  let isThere = true;
  paper.answer(paper.pulls[0], 0, { holds: () => isThere });
  paper.averaging.reconfigure(SUMS, ["b"], 1);
  isThere = false;
  assert.throws(
    () => paper.answer({ sum: SUMS[1], part: 0 }, 1),
    /a was lost and has overwritten its sum of step 1/,
  );
});

Deno.test("while one of eight members is silent no more than a window and a part of each sum are held", () => {
  const sums = Array.from({ length: 8 }, (_, lo) => ({ member: `m${lo}`, lo, hi: lo + 1 }));
  const names = sums.map(({ member }) => member), parts = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
  const pulls: { sum: (typeof sums)[number]; part: number }[] = [];
  let isDone = false;
  const acknowledged: number[] = [];
  const sizes = { step: 1, leaves: 8, values: 10 * BLOCK, parts, partElements: BLOCK, patienceSeconds: 2 };
  const window: ReduceWindow = new ReduceWindow(
    sums,
    names,
    1,
    { ...sizes, windowBytes: 4 * 4 * BLOCK },
    new FeedbackEncoder(codecOf("float32")),
    {
      isNear: () => false,
      pull: ({ member, lo, hi }, part) => pulls.push({ sum: { member, lo, hi }, part }),
      share: () => undefined,
      sendMean: (part) => acknowledged.push(part),
      pulled: () => {},
      heardAt: () => 0,
      done: () => isDone = true,
    },
  );
  const payload = new Uint8Array(4 * BLOCK);
  const answer = ({ sum: { member, lo, hi }, part }: (typeof pulls)[number]) =>
    window.receive({ sender: member, lo, hi, part, codec: "float32", payload } as Frame, 0);
  window.advance(0);
  const late: typeof pulls = [];
  let most = 0;
  for (let pull = pulls.shift(); pull; pull = pulls.shift()) {
    if (pull.sum.member === "m3") late.push(pull);
    else answer(pull);
    most = Math.max(most, window.heldBytes);
  }
  assert.ok(most <= (4 + 8) * 4 * BLOCK, `${most / (4 * BLOCK)} parts`);
  pulls.push(...late);
  for (let pull = pulls.shift(); pull; pull = pulls.shift()) {
    answer(pull);
    for (const part of acknowledged.splice(0)) for (const name of names) window.acknowledge(name, part, 0);
  }
  assert.ok(isDone, "when it speaks again all goes on");
});

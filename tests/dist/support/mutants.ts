/**
 * Frames that are not what their kind says, made from genuine ones.
 *
 * @module
 */

import { REFERENCE_BYTES } from "../../../src/dist/memory/reference.ts";
import { decodeFrame, encodeFrame, type Frame, type Kind } from "../../../src/dist/protocol/frames.ts";

/** A frame that is none any more, and what was done to it. */
export interface Mutant {
  /** Kind, place and change: the same for the same. */
  name: string;
  /** The frame, with a right checksum. */
  data: Uint8Array;
}

/** Payloads that no kind may have. */
const PAYLOADS: Record<string, string | Uint8Array> = {
  "nothing": "",
  "no JSON": '{"phase":',
  "null": "null",
  "[]": "[]",
  "text": '"text"',
  "7": "7",
  "true": "true",
  "NaN": "NaN",
  "no UTF-8": Uint8Array.of(0x7b, 0xff, 0x7d),
  "deep": "[".repeat(20_000),
  "deep object": '{"a":'.repeat(20_000),
  "long": JSON.stringify("x".repeat(300_000)),
  "many": JSON.stringify(new Array(100_000).fill(0)),
};

/** Where any number is right, where any that is not negative, and where it need not be whole. */
const ANY_NUMBER = /\.(lossSum|norm|loss|squares\.0\.1\.0)$/;
const DURATION = /\.(seconds|silenceSeconds|(blockedSeconds|silent|spent)\.[^.]+)$/;
const FRACTION = /\.heartbeatSeconds$/;
/** Where any text is right: people read it. */
const ANY_TEXT = /\.(device|phase|place|error|reasons\.0|texts\.0|numericsFingerprint)$/;
/** What may be called like a property that every object has: a parameter, or what only tells members apart. */
const ANY_LABEL = /\.(nonce|layout\.0\.0|vectors\.0\.0)$/;
/** What may be left out. */
const OPTIONAL =
  /\.(error|work|round|memory|sampler|isAwaited|isLast|own|canResume|pulled|(blockedSeconds|silent)\.[^.]+)$|^leave\.traffic$/;
/** What is not looked into. */
const OPAQUE = /\.config$/;
/** Kinds that may say nothing. */
const MAY_BE_EMPTY = ["copied", "pinned", "restored", "hash", "leave", "finish"];

/** A number that no run has in any place of a frame. */
const HUGE = 0xffff_ffff;

/** What no schema lets pass: payloads of another form, and numbers of the frame that are none for its kind. */
export function* malformed(data: Uint8Array, run: string): Generator<Mutant> {
  const frame = decodeFrame(data, run);
  if ("refused" in frame) return;
  yield* withFields(frame, {
    offer: [{ lo: HUGE }, { hi: 0 }, { hi: frame.lo }],
    pull: [
      { part: frame.parts },
      { part: HUGE },
      { parts: 0 },
      { hi: frame.lo },
      ...[NaN, Infinity, -1, 0, 0.5].map((tokens) => ({ tokens })),
    ],
    sum: [{ part: frame.parts }, { part: HUGE }, { parts: 0 }, { hi: frame.lo }, ...noReferences(frame)],
    mean: [
      ...[{ part: frame.parts }, { part: HUGE }, { parts: 0 }, { openedIn: HUGE }, { leaves: 0 }],
      ...noReferences(frame),
    ],
  });
  if (frame.codec !== "json") return;
  const text = new TextDecoder().decode(frame.payload);
  for (const [change, payload] of Object.entries(PAYLOADS)) yield withPayload(frame, change, payload);
  if (!MAY_BE_EMPTY.includes(frame.kind)) yield withPayload(frame, "{}", "{}");
  yield { name: `${frame.kind}: no JSON's codec`, data: encodeFrame({ ...frame, codec: "float32" }) };
  for (const { path, change, value } of changesOf(JSON.parse(text), frame.kind)) {
    yield withPayload(frame, `${path} ${change}`, JSON.stringify(value));
  }
}

/** References that are none, or that lead out of their segment. */
function noReferences({ byReference, payload }: Frame): Partial<Frame>[] {
  if (!byReference) return [{ byReference: true }];
  if (payload.length !== REFERENCE_BYTES) return [{}]; // it is such a one
  const changed = (at: number, word: number) => {
    const copy = payload.slice();
    new DataView(copy.buffer).setUint32(at, word, true);
    return { payload: copy };
  };
  return [
    { payload: payload.subarray(1) },
    ...[[0, 0], [0, HUGE], [4, HUGE], [8, 2], [12, 0], [20, HUGE], [28, HUGE], [36, HUGE], [36, 0x4300_0000]]
      .map(([at, word]) => changed(at, word)),
  ];
}

/** What has the form of its kind, and can't be true of any run, or not of this one of 8 micro-batches and gradients. */
export function* implausible(data: Uint8Array, run: string): Generator<Mutant> {
  const frame = decodeFrame(data, run);
  if ("refused" in frame) return;
  const { vector, part, parts, payload } = frame;
  const payloads = [payload.subarray(4), new Uint8Array(), new Uint8Array(payload.length + 4)]
    .map((payload) => ({ payload }));
  yield* withFields(frame, {
    status: [{ step: HUGE }],
    evaluated: [{ step: HUGE }],
    hashes: [{ step: HUGE }],
    saved: [{ step: HUGE }],
    sampled: [{ step: HUGE }],
    restored: [{ step: HUGE }],
    offer: [{ hi: HUGE }, { lo: HUGE - 1, hi: HUGE }, { step: 0 }, { step: HUGE }],
    ack: [{ part: HUGE }, { openedIn: HUGE }, { leaves: HUGE }, { step: HUGE }],
    pull: [{ parts: parts + 1, part: parts }, { hi: HUGE }, { step: HUGE }],
    sum: [...payloads, { codec: "int8" }, { hi: HUGE }, { parts: parts + 1, part: parts }, { step: HUGE }],
    mean: [...payloads, { codec: "int8" }, { leaves: HUGE }, { parts: parts + 1, part: parts }, {
      step: HUGE,
    }],
    inspect: [{ step: HUGE }],
    fetch: [{ vector: HUGE }, { part: HUGE }, { step: HUGE }],
    piece: [...payloads, { codec: "int8" }, { vector: vector + 1 }, { part: part + 1 }, { step: 0 }],
    assign: [{ step: HUGE }],
    evaluate: [{ step: HUGE }],
    commit: [{ step: HUGE }],
    save: [{ step: HUGE }],
  });
  const change = UNTRUE[frame.kind];
  if (!change) return;
  // deno-lint-ignore no-explicit-any
  const genuine = (): any => JSON.parse(new TextDecoder().decode(payload));
  for (const [name, untrue] of Object.entries(change(genuine))) {
    if (untrue !== undefined) yield withPayload(frame, name, JSON.stringify(untrue));
  }
}

/** Untrue messages, by what is wrong; undefined where the genuine one has no such thing. */
// deno-lint-ignore no-explicit-any
const UNTRUE: Partial<Record<Kind, (genuine: () => any) => Record<string, unknown>>> = {
  offer: (genuine) => ({
    "a report too few": { ...genuine(), microBatches: genuine().microBatches.slice(1).concat([]) },
    "a report too many": {
      ...genuine(),
      microBatches: [...genuine().microBatches, ...genuine().microBatches],
    },
  }),
  reduced: (genuine) => ({
    "no parts": { ...genuine(), squares: [] },
    "a part too many": { ...genuine(), squares: [...genuine().squares, [77, [1]]] },
    "a part twice": { ...genuine(), squares: [...genuine().squares, ...genuine().squares] },
    "another part": { ...genuine(), squares: [[HUGE, [1]], ...genuine().squares.slice(1)] },
    "a block too many": {
      ...genuine(),
      squares: genuine().squares.map(([part, sums]: [number, number[]]) => [part, [...sums, 1]]),
    },
  }),
  reduce: (genuine) => {
    const { work } = genuine();
    if (!work) return {};
    const changed = (changes: Record<string, unknown>) => ({ ...genuine(), work: { ...work, ...changes } });
    const [first, ...others] = work.sums;
    return {
      "leaves of another batch": changed({ leaves: 2 ** 23 }),
      "no sums": changed({ sums: [] }),
      "a sum twice": changed({ sums: [first, ...work.sums] }),
      "a sum outside": changed({ sums: [...others, { ...first, lo: 8, hi: 9 }] }),
      "a sum over nothing": changed({ sums: [...others, { ...first, hi: first.lo }] }),
      "a sum that is no subtree": changed({ sums: [{ ...first, lo: 1, hi: 4 }] }),
      "no members": changed({ members: [] }),
      "no tokens": changed({ tokens: 0 }),
      "applied before it was computed": changed({ appliedStep: work.step }),
      "another vector": changed({ values: 2 ** 32 }),
    };
  },
  assign: (genuine) => {
    const { round } = genuine();
    const changed = (range: number[]) => ({ ...genuine(), ranges: [range] });
    return {
      "another batch": changed([8, 9]),
      "a giant range": changed([0, 2 ** 23]),
      "no share": round && { ...genuine(), round: { ...round, share: [0, 0] } },
      "a round of a run that has none": round
        ? undefined
        : { ...genuine(), round: { localSteps: 2, share: [0, 1] } },
      "two leaves": round && changed([0, 2]),
      "another batch's share": round && { ...genuine(), round: { ...round, share: [0, 9] } },
    };
  },
  commit: (genuine) => {
    const { apply, samples, round } = genuine();
    const withSamples = (count: number) => ({ ...genuine(), samples: { ...samples, count } });
    return {
      "a sample too few": withSamples(samples.count - 1),
      "a sample too many": withSamples(samples.count + 1),
      "steps too many": round && { ...genuine(), round: { ...round, localSteps: 1000 } },
      "a round of a run that has none": round ? undefined : {
        ...genuine(),
        round: { localSteps: 1, attempt: { openedIn: 1, leaves: 2 } },
      },
      ...(apply
        ? {
          "no norm": { ...genuine(), norm: { notFinite: "NaN" } },
          "an infinite norm": { ...genuine(), norm: { notFinite: "Infinity" } },
          "a negative norm": { ...genuine(), norm: -1 },
          "no tokens": { ...genuine(), tokens: 0 },
        }
        : {}),
    };
  },
  evaluate: (genuine) => ({ "micro-batches that are not there": { ...genuine(), ranges: [[0, 2 ** 23]] } }),
  save: (genuine) => ({
    "a writer that is no member": { ...genuine(), writer: "nobody" },
    "a copy of one that is no member": { ...genuine(), copying: ["nobody"] },
  }),
  takeover: () => ({ "from itself": { donor: "c" } }),
  manifest: (genuine) => {
    const { vectors, step } = genuine();
    const [[name, size], ...others] = vectors;
    return {
      "gigabytes": { ...genuine(), vectors: [[name, 2 ** 31], ...others] },
      "a vector of gigabytes besides": { ...genuine(), vectors: [...vectors, ["more", 2 ** 31]] },
      "a value too few": { ...genuine(), vectors: [[name, size - 1], ...others] },
      "a vector too few": { ...genuine(), vectors: others },
      "a vector twice": { ...genuine(), vectors: [...vectors, vectors[0]] },
      "no vectors": { ...genuine(), vectors: [] },
      "another step": { ...genuine(), step: step + 1 },
    };
  },
};

function* withFields(frame: Frame, changes: Partial<Record<Kind, Partial<Frame>[]>>): Generator<Mutant> {
  for (const [i, change] of (changes[frame.kind] ?? []).entries()) {
    const what = Object.entries(change).map(([key, value]) => key === "payload" ? key : `${key} ${value}`);
    yield { name: `${frame.kind} ${i}: ${what}`, data: encodeFrame({ ...frame, ...change }) };
  }
}

function withPayload(frame: Frame, change: string, payload: string | Uint8Array): Mutant {
  const bytes = typeof payload === "string" ? new TextEncoder().encode(payload) : payload;
  return { name: `${frame.kind}: ${change}`, data: encodeFrame({ ...frame, payload: bytes }) };
}

/** A value with one thing wrong, and what that is. */
interface Change {
  path: string;
  change: string;
  value: unknown;
}

/** The value with one thing wrong in it, in each place and each way; of lists only the first element. */
function* changesOf(value: unknown, path: string): Generator<Change> {
  if (OPAQUE.test(path) || typeof value !== "object" || value === null) return;
  if (Array.isArray(value)) {
    if (value.length === 0) return;
    for (const inner of wrong(value[0], `${path}.0`)) {
      yield { ...inner, value: [inner.value, ...value.slice(1)] };
    }
    return;
  }
  const entries = Object.entries(value);
  for (const [key, each] of entries) {
    const at = `${path}.${key}`;
    const others = entries.filter(([other]) => other !== key);
    if (!OPTIONAL.test(at)) yield { path: at, change: "missing", value: Object.fromEntries(others) };
    for (const inner of wrong(each, at)) yield { ...inner, value: { ...value, [key]: inner.value } };
  }
  yield { path, change: "more", value: { ...value, "no name": 1 } };
}

/** Wrong values for one place. */
function* wrong(value: unknown, path: string): Generator<Change> {
  for (const [change, other] of Object.entries(othersOf(value, path))) yield { path, change, value: other };
  yield { path, change: "null", value: null };
  yield* changesOf(value, path);
}

function othersOf(value: unknown, path: string): Record<string, unknown> {
  switch (typeof value) {
    case "number": {
      const isAny = ANY_NUMBER.test(path), isTime = DURATION.test(path);
      return {
        "text": "7",
        "boolean": true,
        "list": [7],
        "no number as text": { notFinite: "7" },
        ...(isAny ? {} : { "-1": -1, "NaN": { notFinite: "NaN" } }),
        ...(isAny || isTime ? {} : { "2^53": 2 ** 53 }),
        ...(isAny || isTime || FRACTION.test(path) ? {} : { "0.5": 0.5 }),
      };
    }
    case "string":
      return {
        "number": 7,
        "object": { toString: 1 },
        "list": ["text"],
        ...(ANY_TEXT.test(path) ? {} : {
          "empty": "",
          "long": "x".repeat(100_000),
          "escape": "\u001b[2J",
          ...(ANY_LABEL.test(path) ? {} : { "every object's": "constructor" }),
        }),
      };
    case "boolean":
      return { "number": 1, "text": "true" };
    default:
      return Array.isArray(value)
        ? { "number": 7, "text": "text", "object": {}, "many": new Array(50_000).fill("\n") }
        : { "number": 7, "text": "text", "boolean": true, "list": [] };
  }
}

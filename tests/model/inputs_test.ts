import assert from "node:assert/strict";
import { FLASH, FLASHTransformer, GAU } from "../../src/model/mod.ts";
import { tf } from "../../src/tensorflow/mod.ts";
import { onBackend } from "./backends.ts";
import { maskOf, randomInput } from "./models.ts";

const TRANSFORMER = { numTokens: 10, dim: 8, depth: 1, groupSize: 4 };

const REFUSED_OPTIONS: [
  what: string,
  make: () => unknown,
  kind: typeof RangeError | typeof TypeError,
  message: RegExp,
][] = [
  [
    "a transformer of odd dim",
    () => new FLASHTransformer({ ...TRANSFORMER, dim: 7 }),
    RangeError,
    /dim is 7/,
  ],
  [
    "token shift with an odd dim",
    () => new FLASH({ dim: 7, shiftTokens: true }),
    RangeError,
    /FLASH: dim is 7; with shiftTokens it must be even/,
  ],
  [
    "a rotary embedding of an odd queryKeyDim",
    () => new FLASHTransformer({ ...TRANSFORMER, queryKeyDim: 9 }),
    RangeError,
    /queryKeyDim is 9.*must be even/,
  ],
  ["a dim of zero", () => new GAU({ dim: 0 }), RangeError, /GAU: dim is 0; it must be a whole number from 1/],
  [
    "a fraction of a layer",
    () => new FLASHTransformer({ ...TRANSFORMER, depth: 1.5 }),
    RangeError,
    /depth is 1.5/,
  ],
  [
    "a dropout of 1",
    () => new GAU({ dim: 8, dropout: 1 }),
    RangeError,
    /dropout is 1; it must be from 0 to below 1/,
  ],
  [
    "no hidden feature",
    () => new GAU({ dim: 2, expansionFactor: 0.4 }),
    RangeError,
    /without a hidden feature/,
  ],
  [
    "an unknown norm",
    () => new FLASH({ dim: 8, normType: "rms" as never }),
    RangeError,
    /"layernorm" or "scalenorm"/,
  ],
  ["a text for a number", () => new GAU({ dim: "8" as never }), TypeError, /dim is "8"/],
  [
    "a number for a flag",
    () => new GAU({ dim: 8, causal: 1 as never }),
    TypeError,
    /causal is 1.*true or false/,
  ],
  [
    "a missing option",
    () => new FLASHTransformer({ dim: 8, depth: 1 } as never),
    TypeError,
    /numTokens is missing/,
  ],
  [
    "an unknown option",
    () => new FLASH({ dim: 8, group_size: 4 } as never),
    TypeError,
    /no option group_size; the options are dim, .*groupSize/,
  ],
  ["no options", () => new GAU(undefined as never), TypeError, /GAU takes an object/],
  ["a negative seed", () => new GAU({ dim: 8 }, { seed: -1 }), RangeError, /seed is -1/],
];

for (const [what, make, kind, message] of REFUSED_OPTIONS) {
  onBackend("cpu", `a constructor refuses ${what}`, () => {
    assert.throws(make, (error: unknown) => error instanceof kind && message.test(error.message));
  });
}

const ids = (values: number[][], dtype: "int32" | "float32" = "int32") =>
  tf.tensor2d(values, undefined, dtype);
const shifted = () => new FLASHTransformer({ ...TRANSFORMER });
const unshifted = () => new FLASHTransformer({ ...TRANSFORMER, shiftTokens: false });

const REFUSED_INPUTS: typeof REFUSED_OPTIONS = [
  [
    "an id as large as the vocabulary",
    () => shifted().forward([[1, 2], [3, 10]]),
    RangeError,
    /ids\[1\]\[1\] is 10/,
  ],
  ["a negative id in a tensor", () => shifted().forward(ids([[1, -1]])), RangeError, /ids\[0\]\[1\] is -1/],
  ["half an id", () => shifted().forward([[1, 2.5]]), RangeError, /ids\[0\]\[1\] is 2.5/],
  [
    "ids in a tensor of float32",
    () => shifted().forward(ids([[1]], "float32")),
    TypeError,
    /tensor of int32/,
  ],
  ["ids of one sequence alone", () => shifted().forward([1, 2] as never), TypeError, /array of arrays/],
  [
    "ids in a tensor of rank 1",
    () => shifted().forward(tf.tensor1d([1], "int32")),
    RangeError,
    /ids is \[1\]/,
  ],
  [
    "sequences of unlike lengths",
    () => shifted().forward([[1, 2], [3]]),
    RangeError,
    /ids\[1\] has 1 entries/,
  ],
  ["an empty sequence", () => shifted().forward([[]]), RangeError, /ids is \[1, 0\]/],
  ["no sequence", () => shifted().forward(tf.zeros([0, 4], "int32")), RangeError, /ids is \[0, 4\]/],
  [
    "a mask of another length",
    () => shifted().forward([[1, 2]], { mask: maskOf(3, 2) }),
    RangeError,
    /mask is \[1, 3\]; it must be \[1, 2\]/,
  ],
  [
    "a mask of numbers",
    () => shifted().forward([[1, 2]], { mask: ids([[1, 0]]) }),
    TypeError,
    /mask must be a tensor of bool, not of int32/,
  ],
  [
    "a mask with a gap and token shift",
    () => shifted().forward([[1, 2, 3], [1, 2, 3]], { mask: [[true, true, false], [true, false, true]] }),
    RangeError,
    /mask\[1\]\[2\] is true after a false/,
  ],
  [
    "left padding and token shift",
    () => new FLASH({ dim: 8, shiftTokens: true }).forward(randomInput(1, 2, 8), { mask: [[false, true]] }),
    RangeError,
    /mask\[0\]\[1\] is true after a false/,
  ],
  [
    "a mask with a gap",
    () => unshifted().forward([[1, 2, 3]], { mask: [[true, false, true]] }),
    RangeError,
    /mask\[0\]\[2\] is true after a false: padding belongs at the end of a sequence.*maskAnywhere/,
  ],
  [
    "left padding in the second of two sequences",
    () => unshifted().forward([[1, 2], [1, 2]], { mask: [[true, false], [false, true]] }),
    RangeError,
    /mask\[1\]\[1\] is true after a false: padding belongs at the end/,
  ],
  [
    "left padding in a tensor, by a layer",
    () => new FLASH({ dim: 8 }).forward(randomInput(1, 2, 8), { mask: tf.tensor2d([[false, true]]) }),
    RangeError,
    /mask\[0\]\[1\] is true after a false: padding belongs at the end/,
  ],
  [
    "a mask anywhere with token shift",
    () => shifted().forward([[1, 2, 3]], { mask: [[true, false, true]], maskAnywhere: true }),
    RangeError,
    /with shiftTokens only the end of a sequence can be masked/,
  ],
  [
    "an input of another width",
    () => new GAU({ dim: 8 }).forward(tf.zeros([1, 3, 9])),
    RangeError,
    /\[1, 3, 9\]/,
  ],
  ["an input of rank 2", () => new FLASH({ dim: 8 }).forward(tf.zeros([3, 8])), RangeError, /\[3, 8\]/],
  [
    "an empty input",
    () => new FLASH({ dim: 8 }).forward(tf.zeros([1, 0, 8])),
    RangeError,
    /at least one sequence and one token/,
  ],
  [
    "an input of int32",
    () => new GAU({ dim: 8 }).forward(tf.zeros([1, 3, 8], "int32")),
    TypeError,
    /float32/,
  ],
  [
    "a bias of another size",
    () => new GAU({ dim: 8 }).forward(tf.zeros([1, 3, 8]), { relPosBias: tf.zeros([2, 2]) }),
    RangeError,
    /relPosBias is \[2, 2\]; it must be \[3, 3\]/,
  ],
];

for (const [what, call, kind, message] of REFUSED_INPUTS) {
  onBackend("cpu", `forward() refuses ${what}`, () => {
    assert.throws(call, (error: unknown) => error instanceof kind && message.test(error.message));
  });
}

onBackend(
  "cpu",
  "lossAndGradients() refuses labels out of range, of another shape, or none that counts",
  async () => {
    const model = shifted();
    await assert.rejects(model.lossAndGradients([[1, 2]], [[1, 10]]), /RangeError: labels\[0\]\[1\] is 10/);
    await assert.rejects(model.lossAndGradients([[1, 2]], [[1, -2]]), /RangeError: labels\[0\]\[1\] is -2/);
    await assert.rejects(model.lossAndGradients([[1, 2]], [[1]]), /RangeError: labels is \[1, 1\]/);
    await assert.rejects(model.lossAndGradients([[1, 2]], [[-1, -1]]), /RangeError: Every label is −1/);
  },
);

onBackend("cpu", "lossAndGradients() refuses the masks that forward() refuses", async () => {
  const ids = [[1, 2, 3]];
  await assert.rejects(
    shifted().lossAndGradients(ids, ids, { mask: [[true, false, true]] }),
    /true after a false/,
  );
  await assert.rejects(
    unshifted().lossAndGradients(ids, ids, { mask: [[false, true, true]] }),
    /true after a false/,
  );
  const anywhere = { mask: [[false, true, true]], maskAnywhere: true };
  assert.equal((await unshifted().lossAndGradients(ids, ids, anywhere)).tokens, 3);
  await assert.rejects(shifted().lossAndGradients(ids, ids, { mask: maskOf(4, 2) }), /mask is \[1, 4\]/);
});

onBackend(
  "cpu",
  "a mask with a gap is accepted where it is asked for, and by GAU; padding alone always",
  () => {
    const x = randomInput(1, 3, 8), mask = [[false, true, false]], maskAnywhere = true;
    assert.deepEqual(new FLASH({ dim: 8 }).forward(x, { mask, maskAnywhere }).shape, [1, 3, 8]);
    assert.deepEqual(unshifted().forward([[1, 2, 3]], { mask, maskAnywhere }).shape, [1, 3, 10]);
    const padding = [[true, true, true], [true, false, false], [false, false, false]];
    const ids = [[1, 2, 3], [1, 2, 3], [1, 2, 3]];
    for (const model of [shifted(), unshifted()]) {
      assert.deepEqual(model.forward(ids, { mask: padding }).shape, [3, 3, 10]);
    }
    assert.deepEqual(new GAU({ dim: 8 }).forward(x, { mask: tf.tensor2d(mask) }).shape, [1, 3, 8]);
  },
);

onBackend(
  "cpu",
  "an option that is off asks for nothing, so that GAU takes a record with rotary: false",
  () => {
    const options = { dim: 8, queryKeyDim: 8, rotary: false };
    new GAU(options).dispose();
  },
);

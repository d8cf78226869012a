import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { applyOnHost, type HostState } from "../../../src/model/optimizer/host_optimizer.ts";
import { resolveFLASH } from "../../../src/model/options.ts";
import { applyStep, stepScalars } from "../../../src/model/optimizer/optimizer.ts";
import { defineFLASH } from "../../../src/model/parameters.ts";
import { normalArray } from "../../../src/prng.ts";
import { compile, tf } from "../../../src/tensorflow/mod.ts";
import { onBackend } from "../backends.ts";

const definition = defineFLASH(resolveFLASH({ dim: 32, queryKeyDim: 16 }));
const { size } = definition.layout;
const options = { betas: [0.8, 0.95], epsilon: 1e-6, weightDecay: 0.3, clipNorm: 2 } as const;

/** Updates with gradients from far below epsilon to far above clipping. */
const updates = [1e-6, 1, 30, 1e-3, 0.1].map((deviation, i) => {
  const gradient = normalArray(size, i, "gradient", deviation);
  const norm = Math.hypot(...gradient);
  return { gradient, scalars: stepScalars(options, { norm, lr: 0.01, updates: i + 1 }) };
});

const start = (): HostState => ({
  params: normalArray(size, 1, "params", 1),
  m: new Float32Array(size),
  v: new Float32Array(size),
});

// Both round each of some ten operations to float32, but XLA may join a product and a sum into one operation with one rounding,
// and replaces a division by a constant: a few units in the last place of the largest term, for each update.
const ROUNDINGS = 8 * 2 ** -24;

onBackend(
  "tensorflow",
  "the host's optimizer agrees with the compiled one within some float32 roundings",
  async () => {
    const apply = compile((...[params, m, v, mean, scalars]: tf.Tensor1D[]) => ({
      ...applyStep({ params, m, v }, mean, scalars, options, definition),
    }));
    let state = start();
    for (const { gradient, scalars } of updates) {
      const inputs = [state.params, state.m, state.v, gradient, scalars].map((each) => tf.tensor1d(each));
      const compiled = await apply(...inputs);
      const next = applyOnHost(state, gradient, scalars, options, definition);
      const [clip] = scalars;
      const compare = (name: keyof HostState, scale: (i: number) => number) => {
        const values = compiled[name].dataSync();
        const worst = Math.max(...next[name].map((value, i) => Math.abs(value - values[i]) / scale(i)));
        assert.ok(worst <= ROUNDINGS, `${name}: ${worst / 2 ** -24} roundings`);
      };
      const g = (i: number) => Math.abs(gradient[i] * clip);
      compare("m", (i) => Math.max(Math.abs(state.m[i]), g(i), 1e-37));
      compare("v", (i) => Math.max(state.v[i], g(i) ** 2, 1e-37));
      compare(
        "params",
        (i) => Math.max(Math.abs(state.params[i]), Math.abs(next.params[i] - state.params[i])),
      );
      state = next;
    }
    apply.dispose();
  },
);

Deno.test("the host's optimizer keeps subnormals and leaves its inputs alone", () => {
  const state = start();
  const before = structuredClone(state);
  const { gradient, scalars } = updates[1];
  const next = applyOnHost(state, gradient, scalars, options, definition);
  assert.deepEqual(state, before);
  assert.ok(next.params.every((value, i) => value !== state.params[i]));
  const single = { specs: [{ decays: false }], layout: { entries: [{ offset: 0, size: 1 }] } };
  const tiny = { params: Float32Array.of(0), m: Float32Array.of(2 ** -148), v: Float32Array.of(0) };
  const { m } = applyOnHost(tiny, Float32Array.of(0), scalars, { betas: [0.5, 0.5] }, single);
  assert.equal(m[0], 2 ** -149, "the smallest float32");
});

Deno.test("the host's optimizer gives these bits on every machine", () => {
  let state = start();
  for (const { gradient, scalars } of updates) {
    state = applyOnHost(state, gradient, scalars, options, definition);
  }
  const bytes = new Uint8Array(state.params.buffer);
  assert.equal(
    createHash("sha256").update(bytes).digest("hex"),
    "61e6f7dc1a05a7207c2ca3c929161b47620f08d15f6b72d85c6fd1545e73357c",
  );
});

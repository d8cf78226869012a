/** @module */

import assert from "node:assert/strict";
import { outerGradientSum, type OuterOptions, outerStep } from "../../../src/dist/replica/outer_optimizer.ts";
import { addInto, divideBy } from "../../../src/dist/vectors/sums.ts";
import { noise } from "../support/toy.ts";

const DILOCO: OuterOptions = { rate: 0.7, momentum: 0.9 };
const PLAIN: OuterOptions = { rate: 1, momentum: 0 };

/** The parameters after a round of members with these parameters and tokens. */
function round(
  params: Float32Array,
  velocity: Float32Array,
  members: { after: Float32Array; tokens: number }[],
  options: OuterOptions,
): void {
  const [sum, ...others] = members.map(({ after, tokens }) =>
    outerGradientSum(params, after.slice(), tokens)
  );
  for (const other of others) addInto(sum, other);
  divideBy(sum, members.reduce((total, { tokens }) => total + tokens, 0));
  outerStep(params, velocity, sum, options);
}

function close(found: number, wanted: number): void {
  assert.ok(Math.abs(found - wanted) < 1e-6, `${found} is not ${wanted}`);
}

Deno.test("two outer steps with Nesterov momentum, computed by hand", () => {
  const params = new Float32Array([1, -1]), velocity = new Float32Array(2);
  // The members went from 1 down to 0.8: gradient 0.2, velocity 0.2, and 0.7 · (0.2 + 0.9 · 0.2) is taken away.
  // The other parameter went from -1 up to -0.9: gradient -0.1.
  round(params, velocity, [{ after: new Float32Array([0.8, -0.9]), tokens: 5 }], DILOCO);
  close(params[0], 0.734);
  close(params[1], -0.867);
  close(velocity[1], -0.1);
  // From 0.734 to 0.634: gradient 0.1, velocity 0.9 · 0.2 + 0.1 = 0.28, and 0.7 · (0.1 + 0.9 · 0.28) is taken away.
  round(params, velocity, [{ after: new Float32Array([0.634, -0.867]), tokens: 5 }], DILOCO);
  close(velocity[0], 0.28);
  close(params[0], 0.4876);
  close(params[1], -0.867 + 0.7 * 0.9 * 0.09); // momentum keeps its direction without a gradient
});

Deno.test("the outer step moves in the direction of the parameter deltas, not against it", () => {
  for (const options of [DILOCO, PLAIN]) {
    const params = new Float32Array([3]), velocity = new Float32Array(1);
    round(params, velocity, [{ after: new Float32Array([2.5]), tokens: 1 }], options);
    assert.ok(params[0] < 3);
  }
});

Deno.test("rate 1 and momentum 0 is the mean of the members' parameters, weighted by tokens", () => {
  const params = new Float32Array([10]), velocity = new Float32Array(1);
  const members = [{ after: new Float32Array([4]), tokens: 3 }, { after: new Float32Array([8]), tokens: 1 }];
  round(params, velocity, members, PLAIN);
  assert.equal(params[0], 5); // (3 · 4 + 1 · 8) / 4
});

Deno.test("the plain mean of one local step of SGD is SGD on the mean gradient", () => {
  const size = 1000, rate = 0.1, tokens = [64, 192];
  const start = noise(size, 1), gradients = [noise(size, 2), noise(size, 3)];
  const params = start.slice();
  const members = gradients.map((gradient, member) => ({
    after: start.map((value, i) => value - rate * gradient[i]),
    tokens: tokens[member],
  }));
  round(params, new Float32Array(size), members, PLAIN);
  params.forEach((value, i) => {
    const mean = (64 * gradients[0][i] + 192 * gradients[1][i]) / 256;
    close(value, start[i] - rate * mean);
  });
});

/**
 * Toys that average parameters, and a round of theirs on paper.
 *
 * @module
 */

import { DilocoReplica } from "../../../src/dist/replica/diloco_replica.ts";
import type { OuterOptions } from "../../../src/dist/replica/outer_optimizer.ts";
import { BorrowedVector, type GradientSum } from "../../../src/dist/vectors/gradient.ts";
import { type ToyOptions, toyPlan, ToyReplica } from "./toy.ts";
import type { Range } from "../../../src/dist/vectors/tree.ts";

/** The settings of the paper. */
export const DILOCO: OuterOptions = { rate: 0.7, momentum: 0.9 };

/** Micro-batches of a toy's step. */
const { microBatches } = toyPlan();

/** A toy that takes local steps. */
export function averagingToy(options: ToyOptions = {}): DilocoReplica {
  return new DilocoReplica(new ToyReplica(options), DILOCO);
}

/** What is inside. */
export function toyOf(replica: DilocoReplica): ToyReplica {
  return replica.inner as ToyReplica;
}

/** One round on paper, of the members that have a share. */
export async function roundOnPaper(
  members: readonly DilocoReplica[],
  shares: readonly Range[],
  steps: number,
) {
  const sums: GradientSum[] = [];
  for (const [i, replica] of members.entries()) {
    sums.push((await replica.localSteps({ steps, share: shares[i], microBatches })).sum);
  }
  const [{ gradient: first }, ...others] = sums;
  const mean = await first.toHost();
  for (const { gradient } of others) await mean.add(gradient);
  const tokens = sums.reduce((sum, each) => sum + each.tokens, 0);
  await mean.divideBy(tokens);
  const step = members[0].step + steps;
  for (const replica of members) {
    await replica.apply(new BorrowedVector(mean.values), {
      step,
      apply: true,
      norm: NaN,
      tokens,
      localSteps: steps,
    });
  }
}

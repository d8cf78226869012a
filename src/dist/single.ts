/**
 * A run in one process, without workers, coordinator and message bus: the same samples, the same sums in the same order,
 * the same bits.
 *
 * @module
 */

import { setImmediate } from "node:timers/promises";
import { RunError, wordsOf } from "../errors.ts";
import { computeLosses, computeSum } from "./compute.ts";
import { type CommittedStep, type DistEvent, dutiesAfter, type RunOutcome, type RunPlan } from "./plan.ts";
import { addLosses, blockSquares, divideBy, normOf, release } from "./reduction.ts";
import type { Replica } from "./replica.ts";
import { reasonUnsaved } from "./saving.ts";
import { reasonNotFinite, reasonToSkip, reasonToStop } from "./skipping.ts";

/** Name under which a single process appears in `computed`. */
const MEMBER = "single";

/** How a single-process run is watched and stopped. */
export interface SingleOptions {
  /** Stops the run: the open step is finished and a checkpoint is saved. */
  signal?: AbortSignal;
  /** Gets what happens. */
  onEvent?: (event: DistEvent) => void;
}

/**
 * Trains a replica until the plan's last step, or until the signal.
 *
 * @throws what the replica throws
 * @throws {RunError} where too many steps in a row were skipped
 *
 * @example
 * ```ts ignore
 * const outcome = await runSingle(replica, plan, { onEvent: console.log });
 * ```
 */
export async function runSingle(
  replica: Replica,
  plan: RunPlan,
  { signal, onEvent = () => {} }: SingleOptions = {},
): Promise<RunOutcome> {
  const { loss, evaluation, tokens } = plan.record;
  const outcome: RunOutcome = {
    steps: replica.step,
    loss,
    valLoss: evaluation?.valLoss ?? null,
    tokens,
    bytesSent: 0,
    bytesReceived: 0,
    stateBytes: 0,
    paramsHash: "",
    dropped: {},
    interrupted: false,
  };
  let savedStep = replica.step;
  let { skips } = plan.record;
  let unsaved: string | undefined; // why the last checkpoint is not there
  const save = async () => {
    const { step } = replica;
    savedStep = step;
    try {
      await replica.save(await replica.state());
      unsaved = undefined;
      onEvent({ kind: "saved", step });
    } catch (error) {
      unsaved = wordsOf(error);
      if (step < plan.steps && !signal?.aborted) onEvent({ kind: "unsaved", step, error: unsaved });
    }
  };
  while (replica.step < plan.steps && !signal?.aborted) {
    const committed = await singleStep(replica, plan.microBatches);
    outcome.steps = committed.step;
    outcome.loss = committed.loss;
    outcome.tokens += committed.tokens;
    onEvent({ kind: "step", committed });
    skips = committed.applied ? 0 : skips + 1;
    const error = reasonToStop(skips, plan.maxSkips, committed.reason);
    if (error) throw new RunError(error);
    for (const duty of dutiesAfter(plan, committed.step, signal?.aborted ?? false)) {
      if (duty === "save") {
        await save();
      } else {
        outcome.valLoss = await evaluate(replica, plan.evaluation.microBatches);
        onEvent({ kind: "evaluated", step: committed.step, valLoss: outcome.valLoss });
      }
    }
  }
  if (savedStep < replica.step) await save(); // the signal came during the evaluation
  if (unsaved !== undefined) throw new RunError(reasonUnsaved(savedStep, unsaved));
  outcome.paramsHash = (await replica.hashes()).params;
  outcome.interrupted = replica.step < plan.steps;
  return outcome;
}

/** One step: the sum over all micro-batches, the mean, its norm, the update. */
export async function singleStep(replica: Replica, microBatches: number): Promise<CommittedStep> {
  const openedAt = performance.now();
  const step = replica.step + 1;
  const { sum, reports } = await computeSum(replica, 0, microBatches);
  await setImmediate(); // timers get their turn between two passes over all parameters
  const { gradient: mean, lossSum, tokens } = sum;
  let reason = reasonToSkip(reports, [{ member: MEMBER, lo: 0, hi: microBatches }], { lossSum, tokens });
  let norm = NaN;
  if (!reason) {
    divideBy(mean, tokens);
    await setImmediate();
    norm = normOf(blockSquares(mean));
    await setImmediate();
    reason = reasonNotFinite(norm);
  }
  const applied = reason === undefined;
  await replica.apply(applied ? mean : new Float32Array(), { step, apply: applied, norm, tokens });
  release(mean);
  return {
    step,
    loss: lossSum / tokens,
    tokens,
    gradNorm: norm,
    applied,
    ...(reason === undefined ? {} : { reason }),
    seconds: (performance.now() - openedAt) / 1000,
    workers: 0,
    generation: 0,
    computed: { [MEMBER]: reports.map((_, microBatch) => microBatch) },
    samples: reports.map(({ crc }) => crc),
  };
}

/** Mean loss over the validation part, nats per token. */
async function evaluate(replica: Replica, microBatches: number): Promise<number> {
  const { lossSum, tokens } = addLosses(await computeLosses(replica, 0, microBatches));
  return lossSum / tokens;
}

/**
 * A run in one process, without workers, coordinator and message bus: the same samples, the same sums in the same order,
 * the same bits.
 *
 * @module
 */

import { errorMessage, Halted, RunError } from "../errors.ts";
import { DilocoReplica } from "./replica/diloco_replica.ts";
import { committedSteps } from "./replica/step_record.ts";
import { computeLosses, computeSum, normOfMean, type ReportedSum } from "./replica/accumulate.ts";
import {
  type CommittedStep,
  type DistEvent,
  dutiesAfter,
  type MemberUsage,
  reasonUnsaved,
  type RunOutcome,
  type RunPlan,
  USAGE_SECONDS,
} from "./replica/plan.ts";
import { sample, sampleEvents } from "./replica/samples.ts";
import { TimeSpent } from "./replica/time_spent.ts";
import { now } from "./protocol/timeouts.ts";
import { addLosses } from "./vectors/sums.ts";
import type { Replica, StepOutcome } from "./replica/replica.ts";
import { lastStep, localStepsAfter } from "./replica/rounds.ts";
import { reasonNotFinite, reasonToSkip, reasonToStop } from "./replica/skipping.ts";

/** Name under which a single process appears in `computed`. */
const MEMBER = "single";

/** Options of a single-process run. */
export interface SingleOptions {
  /** Stops the run: the open step is finished and a checkpoint is saved. */
  signal?: AbortSignal;
  /** Receives the events of the run. */
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
  let unsaved: string | undefined; // why the last checkpoint is missing
  const save = async () => {
    const { step } = replica;
    savedStep = step;
    try {
      const place = await replica.save(await replica.state());
      unsaved = undefined;
      onEvent({ kind: "saved", step, member: MEMBER, place });
    } catch (error) {
      unsaved = errorMessage(error);
      if (step < plan.steps && !signal?.aborted) onEvent({ kind: "unsaved", step, error: unsaved });
    }
  };
  const usage = new OwnUsage(replica.device, plan, onEvent);
  while (replica.step < plan.steps && !signal?.aborted) {
    const localSteps = localStepsAfter(plan, replica.step);
    const steps = await usage.time.computing(() => singleStep(replica, plan.microBatches, localSteps));
    for (const committed of steps) {
      outcome.steps = committed.step;
      outcome.loss = committed.loss;
      outcome.tokens += committed.tokens;
      onEvent({ kind: "step", committed });
    }
    const { step, applied, reason } = steps.at(-1)!;
    skips = applied ? 0 : skips + 1;
    const error = reasonToStop(skips, plan.maxSkips, reason);
    if (error) throw new RunError(error);
    for (const duty of dutiesAfter(plan, step, signal?.aborted ?? false)) {
      if (duty === "save") {
        await save();
      } else {
        outcome.valLoss = await usage.time.computing(() => evaluate(replica, plan.evaluation.microBatches));
        onEvent({ kind: "evaluated", step, valLoss: outcome.valLoss });
        await usage.time.computing(() => reportSamples(replica, plan, onEvent, signal));
      }
    }
    usage.tellWhenDue();
  }
  if (savedStep < replica.step) await save(); // the signal came during the evaluation
  usage.tell();
  if (unsaved !== undefined) throw new RunError(reasonUnsaved(savedStep, unsaved));
  outcome.paramsHash = (await replica.hashes()).params;
  outcome.interrupted = replica.step < plan.steps;
  return outcome;
}

/**
 * One step: the sum over all micro-batches, the mean, its norm, the update. Or one round of local steps of the single member.
 *
 * @param localSteps number of local steps, where it is a round
 */
export async function singleStep(
  replica: Replica,
  microBatches: number,
  localSteps?: number,
): Promise<CommittedStep[]> {
  const openedAt = performance.now();
  const step = replica.step + 1;
  const { sum: { gradient: mean, lossSum, tokens }, reports, norm } = localSteps === undefined
    ? await computeStep(replica, step, microBatches)
    : await computeRound(replica, localSteps, microBatches);
  const shares = [{ member: MEMBER, lo: 0, hi: microBatches, reports }];
  const bad = reasonToSkip(shares, { lossSum, tokens });
  const reason = bad ?? reasonNotFinite(norm);
  const applied = reason === undefined;
  const outcome: StepOutcome = {
    step: lastStep(step, localSteps),
    apply: applied,
    ...{ norm, tokens, localSteps },
  };
  await replica.apply(mean, outcome);
  mean.release(); // in a round it is not one of the replica's own gradients
  return committedSteps({
    step,
    localSteps,
    microBatches,
    shares,
    gradNorm: bad ? NaN : norm,
    applied,
    ...(reason === undefined ? {} : { reason }),
    seconds: (performance.now() - openedAt) / 1000,
    workers: 0,
    generation: 0,
    bytesSent: 0,
    bytesReceived: 0,
  });
}

/** Tells now and then how the process spends its time. */
class OwnUsage {
  readonly time = new TimeSpent(now);
  #toldAt = now();
  #told = this.time.spent;

  /** Begins. */
  constructor(
    readonly device: string,
    readonly plan: Pick<RunPlan, "microBatches">,
    readonly onEvent: (event: DistEvent) => void,
  ) {}

  tellWhenDue(): void {
    if (now() - this.#toldAt >= USAGE_SECONDS) this.tell();
  }

  /** Tells what was spent since it was last told. */
  tell(): void {
    const { device, plan: { microBatches } } = this;
    const time = now(), spent = this.time.spent;
    const own: MemberUsage = {
      device,
      range: [0, microBatches],
      computing: spent.computing - this.#told.computing,
      exchanging: 0,
      waiting: spent.waiting - this.#told.waiting,
      bytesSent: 0,
      bytesReceived: 0,
      memory: Deno.memoryUsage().rss,
      heardAgo: 0,
    };
    this.onEvent({ kind: "usage", seconds: time - this.#toldAt, members: { [MEMBER]: own } });
    this.#toldAt = time;
    this.#told = spent;
  }
}

/** A sum that was divided to the mean, with its norm. */
interface ReportedMean extends ReportedSum {
  norm: number;
}

/**
 * The mean over all micro-batches. A value that is not finite in a gradient is not finite in the sum and its norm, so that no pass
 * over each gradient is needed; only then are they computed again, to find the micro-batch.
 */
async function computeStep(replica: Replica, step: number, microBatches: number): Promise<ReportedMean> {
  const computed = await computeSum(replica, step, 0, microBatches, { checked: false });
  const norm = await normOfMean(computed.sum);
  if (Number.isFinite(norm) && Number.isFinite(computed.sum.lossSum)) return { ...computed, norm };
  const { reports } = await computeSum(replica, step, 0, microBatches);
  return { ...computed, reports, norm };
}

/** The mean of a round of local steps of the single member. */
async function computeRound(
  replica: Replica,
  steps: number,
  microBatches: number,
): Promise<ReportedMean> {
  const computed = await DilocoReplica.of(replica)
    .localSteps({ steps, share: [0, microBatches], microBatches });
  return { ...computed, norm: await normOfMean(computed.sum) };
}

/** Continues the prompts, if there are any; a signal ends it. */
async function reportSamples(
  replica: Replica,
  { evaluation: { prompts = [] } }: RunPlan,
  onEvent: (event: DistEvent) => void,
  signal?: AbortSignal,
): Promise<void> {
  if (prompts.length === 0) return;
  const { step } = replica;
  const beforeEach = () => {
    if (signal?.aborted) throw new Halted();
  };
  const result = await sample(replica, beforeEach).catch((error) => {
    if (!(error instanceof Halted)) throw error;
  });
  if (result) sampleEvents(prompts, { step, member: MEMBER }, result).forEach(onEvent);
}

/** Mean loss over the validation part, nats per token. */
async function evaluate(replica: Replica, microBatches: number): Promise<number> {
  const { lossSum, tokens } = addLosses(await computeLosses(replica, 0, microBatches));
  return lossSum / tokens;
}

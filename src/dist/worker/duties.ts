/**
 * A worker's orders between two steps, and its answers.
 *
 * @module
 */

import type { CheckpointWriter } from "./checkpoint_writer.ts";
import { encodeControl, type Received, type ReceivedOf } from "../protocol/messages.ts";
import type { ResidualKeeper } from "../allreduce/residuals.ts";
import type { Reporter } from "./reporter.ts";
import type { Sampler } from "./sampler.ts";
import type { StepExecutor } from "./step_executor.ts";

/** An order between steps. */
export type Duty = ReceivedOf<"evaluate" | "save" | "pin" | "hash">;

/** Whether a frame is an order between steps. */
export function isDuty(frame: Received): frame is Received & Duty {
  const { kind } = frame;
  return kind === "evaluate" || kind === "save" || kind === "pin" || kind === "hash";
}

/** Identifies an order between steps. */
export function dutyKey({ kind, step, term, generation, message }: Duty): string {
  const isLast = kind === "hash" && "isLast" in message ? " last" : "";
  return `${kind} ${step} ${term} ${generation}${isLast}`;
}

/**
 * Carries out an order between steps.
 *
 * @param answer sends an answer, and keeps it for when the order is repeated
 */
export async function carryOut(
  order: Duty,
  { executor, checkpoints, sampler, residuals, reporter }: {
    executor: StepExecutor;
    checkpoints: CheckpointWriter;
    sampler: Sampler;
    residuals: ResidualKeeper;
    reporter: Reporter;
  },
  answer: (frame: Uint8Array) => void,
): Promise<void> {
  const { member, replica } = reporter;
  switch (order.kind) {
    case "evaluate": {
      const { ranges, sampler: chosen } = order.message;
      const losses = await executor.evaluate(ranges);
      if (chosen?.member === member) {
        reporter.setPhase("sampling");
        await sampler.sample(chosen.isAwaited ?? false);
      }
      return answer(encodeControl(reporter.fields("evaluated"), { losses }));
    }
    case "save": {
      const { copying, members } = order.message;
      residuals.save(order.step, members);
      if (!copying.includes(member)) return;
      reporter.setPhase("copying its state for a checkpoint");
      await checkpoints.begin(order.message);
      return answer(encodeControl(reporter.fields("copied"), {}));
    }
    case "pin":
      if (order.message.donor !== member) return;
      reporter.setPhase("copying its state for newcomers");
      await executor.pin();
      return answer(encodeControl(reporter.fields("pinned"), {}));
    case "hash": {
      reporter.setPhase("hashing");
      const hashes = await replica.hashes();
      return answer(encodeControl(reporter.fields("hashes"), { ...hashes, traffic: reporter.traffic }));
    }
  }
}

/**
 * Which member continues the prompts of the run at an evaluation, and what becomes of it. Nothing waits for it but the end of the
 * run. Pure functions.
 *
 * @module
 */

import { sampleEvents } from "../replica/samples.ts";
import type { MembershipEvent } from "../state/events.ts";
import type { Messages } from "../protocol/messages.ts";
import type { RunState, Transition } from "../state/run_state.ts";
import { isOver, reportAnd, stay } from "../state/transitions.ts";

/** The member that samples at this evaluation; undefined in a run without prompts. The last by name: others save and donate. */
export function samplerOf(state: RunState): Messages["evaluate"]["sampler"] {
  const { plan: { evaluation: { prompts = [] } }, members } = state;
  const member = [...members.keys()].sort().at(-1);
  if (prompts.length === 0 || member === undefined) return undefined;
  return isOver(state) ? { member, isAwaited: true } : { member };
}

/** A member has continued the prompts, or could not. */
export function sampled(
  state: RunState,
  { member, step, result }: MembershipEvent & { kind: "sampled" },
): Transition {
  const { sampling, plan: { evaluation: { prompts = [] } } } = state;
  if (step > state.step) return stay(state);
  const isOpen = sampling?.member === member && sampling.step === step;
  let next = stay(isOpen ? { ...state, sampling: undefined } : state);
  for (const event of sampleEvents(prompts, { step, member }, result).reverse()) {
    next = reportAnd(event, next);
  }
  return next;
}

/** The state without a member that may have been sampling: its samples are lost. */
export function withoutSampler(state: RunState, lost: string): Transition {
  const { sampling } = state;
  if (sampling?.member !== lost) return stay(state);
  const error = "the member was gone before they were done";
  return reportAnd({ kind: "unsampled", ...sampling, error }, stay({ ...state, sampling: undefined }));
}

/**
 * Which workers may join: replicas that would not end with the same bits are rejected at join, with the fields that differ.
 *
 * @module
 */

import { layoutDifference, layoutOf } from "../../layout.ts";
import type { Messages } from "../protocol/messages.ts";
import type { ReplicaIdentity } from "../replica/replica.ts";
import type { Credentials } from "../state/participants.ts";
import type { Action } from "../state/run_state.ts";

/** Why a join is rejected. */
export interface Reason {
  /** What differs. */
  text: string;
  /** Whether it may be gone when the worker asks again. */
  mayPass: boolean;
}

/** The answer to a join that is rejected. */
export function refusalFor(reasons: readonly Reason[]): Action & { do: "refuse" } {
  const retry = reasons.every(({ mayPass }) => mayPass);
  return { do: "refuse", reasons: reasons.map(({ text }) => text), ...(retry ? { retry } : {}) };
}

/**
 * All differences between a candidate and the run.
 *
 * @param wanted what the run has: all of it once a member was admitted, before that only the configuration; where it is
 *   `mixed`, numerics may differ
 * @param steps the step that the run is at, and the one that the candidate is at
 * @returns one line for each difference; none where it may join
 */
export function refusalReasons(
  wanted: Pick<Credentials, "configHash"> & Partial<Credentials> & { id: string; mixed: boolean },
  candidate: Messages["join"],
  steps: { run: number; candidate: number },
): Reason[] {
  const reasons: Reason[] = [];
  const compare = (what: string, run: string | number, yours: string | number, mayPass = false) => {
    if (run !== yours) reasons.push({ text: `${what}: the run has ${run}, you have ${yours}`, mayPass });
  };
  compare("identity of the run (another one has the same name)", wanted.id, candidate.id);
  if (reasons.length > 0) return reasons;
  compare("hash of the run's configuration", wanted.configHash, candidate.configHash);
  if (wanted.identity) {
    const { numericsFingerprint: run } = wanted.identity, { numericsFingerprint: yours } = candidate.identity;
    compareIdentities(wanted.identity, candidate.identity, reasons, compare);
    if (!wanted.mixed) compare("numerics", run, yours);
  }
  compare("step", steps.run, steps.candidate, true); // the run may have continued while the worker prepared itself
  // Different parameters, corpora or steps imply different states: reported only where nothing else explains it.
  if (wanted.stateHash && reasons.length === 0) {
    compare(`hash of the state at step ${steps.run}`, wanted.stateHash, candidate.stateHash);
  }
  return reasons;
}

function compareIdentities(
  run: ReplicaIdentity,
  yours: ReplicaIdentity,
  reasons: Reason[],
  compare: (what: string, run: string | number, yours: string | number) => void,
): void {
  if (run.layoutFingerprint !== yours.layoutFingerprint) {
    const difference = layoutDifference(layoutOf(yours.layout), layoutOf(run.layout));
    const what = difference ?? "the fingerprints of the layouts differ";
    reasons.push({ text: `parameters (here: yours, there: the run's): ${what}`, mayPass: false });
  }
  compare("length of the corpus in bytes", run.corpus.bytes, yours.corpus.bytes);
  compare("SHA-256 of the corpus", run.corpus.sha256, yours.corpus.sha256);
}

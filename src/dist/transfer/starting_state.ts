/**
 * The state that a run starts from, which the coordinator serves to members that have no checkpoint of it.
 *
 * @module
 */

import { Halted, TransientError } from "../../errors.ts";
import { now } from "../protocol/timeouts.ts";
import { donorOver } from "./donor_requests.ts";
import type { Frame } from "../protocol/frames.ts";
import { isSoundManifest } from "../protocol/order_checks.ts";
import { PinnedState, transferState } from "./state_transfer.ts";
import type { Replica, ReplicaState } from "../replica/replica.ts";
import { Stall } from "./stall.ts";
import { COORDINATOR, type Transport } from "../protocol/transport.ts";

/** Values per part. */
const PART_ELEMENTS = 64 * 1024;
/** Bytes that a worker requests at once. */
const WINDOW_BYTES = 4 * 1024 * 1024;
/** Seconds after which a piece is requested again, and seconds without any piece after which the worker gives up. */
const PATIENCE_SECONDS = 5;
const LONGEST_SECONDS = 60;

/** Which worker requests the state of which step. */
export interface StartRequest {
  /** Name of the run. */
  run: string;
  /** Name of the worker. */
  member: string;
  /** The step that the run starts from. */
  step: number;
  /** The replica that gets the state: it knows the sizes to expect. */
  replica: Pick<Replica, "size" | "moments">;
  /** Ends the waiting. */
  signal?: AbortSignal;
}

/**
 * Gets the state that a run starts from, from its coordinator.
 *
 * @throws {TransientError} where the coordinator does not serve it
 */
export async function takeStart(
  transport: Transport,
  { run, member, step, replica, signal }: StartRequest,
): Promise<ReplicaState> {
  const stall = new Stall(transport, LONGEST_SECONDS);
  const donor = donorOver(transport, {
    run,
    asker: member,
    donor: COORDINATOR,
    step,
    patienceSeconds: PATIENCE_SECONDS,
    isSound: (manifest) => isSoundManifest(manifest, step, replica),
    isWanted: () => !signal?.aborted && !stall.isTooLong,
  });
  try {
    const taken = await transferState(donor, { windowBytes: WINDOW_BYTES, onProgress: () => stall.end() });
    return taken!.state;
  } catch (error) {
    signal?.throwIfAborted();
    if (!(error instanceof Halted)) throw error;
    throw new TransientError(
      `the coordinator of the run "${run}" has not handed out the state of step ${step} for ${LONGEST_SECONDS} s`,
    );
  }
}

/** Serves the state of a checkpoint, which is read at the first request. */
export class StartDonor {
  #pinned: { step: number; state: Promise<PinnedState> } | undefined;
  #usedAt = 0;

  /**
   * Nothing is read yet.
   *
   * @param load reads the checkpoint of a step
   */
  constructor(readonly load: (step: number) => Promise<ReplicaState>) {}

  /** The answer to a request for a state. */
  async answer(
    question: Frame,
    from: Pick<Frame, "run" | "sender" | "step">,
  ): Promise<Uint8Array | undefined> {
    const { step } = question;
    if (this.#pinned?.step !== step) {
      const state = this.load(step).then((state) => new PinnedState(state, PART_ELEMENTS));
      this.#pinned = { step, state };
      state.catch(() => this.#pinned = undefined); // the next request tries again
    }
    this.#usedAt = now();
    return await (await this.#pinned.state).answer(question, from);
  }

  /** Releases a state that was not requested for this many seconds. */
  release(unusedSeconds: number): void {
    if (this.#pinned && now() - this.#usedAt >= unusedSeconds) this.#pinned = undefined;
  }
}

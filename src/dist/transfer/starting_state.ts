/**
 * The state that a run starts from, for members that have no checkpoint of it: the coordinator hands it out.
 *
 * @module
 */

import { Halted, TransientError } from "../../errors.ts";
import { now } from "../protocol/timeouts.ts";
import { donorOver } from "./donor_requests.ts";
import type { Frame } from "../protocol/frames.ts";
import { isSoundManifest } from "../protocol/order_checks.ts";
import { PinnedState, takeOver } from "./state_transfer.ts";
import type { Replica, ReplicaState } from "../replica/replica.ts";
import { Stall } from "./stall.ts";
import { COORDINATOR, type Transport } from "../protocol/transport.ts";

/** Values of a part. */
const PART_ELEMENTS = 64 * 1024;
/** Bytes that a worker asks for at once. */
const WINDOW_BYTES = 4 * 1024 * 1024;
/** Seconds that a piece may take before it is asked for again, and without any until the worker gives up. */
const PATIENCE_SECONDS = 5;
const LONGEST_SECONDS = 60;

/** Who asks for the state of which step. */
export interface StartRequest {
  /** Name of the run. */
  run: string;
  /** Name of the worker. */
  member: string;
  /** The step that the run starts from. */
  step: number;
  /** What the state is for: the sizes of what comes are known. */
  replica: Pick<Replica, "size" | "moments">;
  /** Ends the waiting. */
  signal?: AbortSignal;
}

/**
 * Takes the state that a run starts from over from its coordinator.
 *
 * @throws {TransientError} where the coordinator does not hand it out
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
    const taken = await takeOver(donor, { windowBytes: WINDOW_BYTES, onProgress: () => stall.end() });
    return taken!.state;
  } catch (error) {
    signal?.throwIfAborted();
    if (!(error instanceof Halted)) throw error;
    throw new TransientError(
      `the coordinator of the run "${run}" has not handed out the state of step ${step} for ${LONGEST_SECONDS} s`,
    );
  }
}

/** Hands the state of a checkpoint out, which is read when somebody asks for it. */
export class StartDonor {
  #pinned: { step: number; state: Promise<PinnedState> } | undefined;
  #usedAt = 0;

  /**
   * Nothing read yet.
   *
   * @param load reads the checkpoint of a step
   */
  constructor(readonly load: (step: number) => Promise<ReplicaState>) {}

  /** The answer to a question about a state. */
  async answer(
    question: Frame,
    from: Pick<Frame, "run" | "sender" | "step">,
  ): Promise<Uint8Array | undefined> {
    const { step } = question;
    if (this.#pinned?.step !== step) {
      const state = this.load(step).then((state) => new PinnedState(state, PART_ELEMENTS));
      this.#pinned = { step, state };
      state.catch(() => this.#pinned = undefined); // the next one who asks has it tried again
    }
    this.#usedAt = now();
    return await (await this.#pinned.state).answer(question, from);
  }

  /** Lets go of a state that nobody has asked about for so many seconds. */
  release(unusedSeconds: number): void {
    if (this.#pinned && now() - this.#usedAt >= unusedSeconds) this.#pinned = undefined;
  }
}

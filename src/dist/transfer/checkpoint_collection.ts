/**
 * How a checkpoint gets into the run's folder from a member on another machine: the coordinator asks the member for the state that it
 * has copied, in pieces, while the run goes on, and writes it when its hash is that of the state that the members agreed on.
 *
 * @module
 */

import { errorMessage } from "../../errors.ts";
import { now } from "../protocol/timeouts.ts";
import { donorOver } from "./donor_requests.ts";
import { isSoundManifest } from "../protocol/order_checks.ts";
import { takeOver } from "./state_transfer.ts";
import { Stall } from "./stall.ts";
import { COORDINATOR, type Transport } from "../protocol/transport.ts";
import type { CheckpointStore, SaveResult } from "../replica/replica.ts";

/** Share of the window for vectors that a state in flight may take: steps go before it. */
const WINDOW_SHARE = 1 / 4;
/** Seconds between two words about the progress. */
const PROGRESS_SECONDS = 2;

/** Which checkpoint is collected, and from whom. */
export interface Collection {
  /** The member that has copied its state. */
  member: string;
  /** Of the state. */
  step: number;
  /** What all members' states were found to hash to; undefined where there is only one member. */
  stateHash?: string;
}

/** How a checkpoint is collected. */
export interface CollectOptions {
  /** Name of the run. */
  run: string;
  /** Values of the parameters. */
  size: number;
  /** Bytes of vectors that may be in flight. */
  windowBytes: number;
  /** Seconds between two heartbeats. */
  heartbeatSeconds: number;
  /** Seconds without a piece after which the member does not have it any more. */
  silenceSeconds: number;
  /** Whether it is still wanted. */
  isWanted: () => boolean;
  /** Told now and then which share is there, where it takes long. */
  onProgress: (share: number) => void;
}

/** Collects a checkpoint into the run's folder. */
export async function collect(
  transport: Transport,
  store: CheckpointStore | undefined,
  { member, step, stateHash }: Collection,
  { run, size, windowBytes, heartbeatSeconds, silenceSeconds, isWanted, onProgress }: CollectOptions,
): Promise<SaveResult> {
  const stall = new Stall(transport, silenceSeconds);
  let toldAt = now();
  const donor = donorOver(transport, {
    run,
    asker: COORDINATOR,
    donor: member,
    step,
    patienceSeconds: 2 * heartbeatSeconds, // then a piece is asked for again
    isSound: (manifest) => isSoundManifest(manifest, step, { size, moments: [] }),
    isWanted: () => isWanted() && !stall.isTooLong,
  });
  try {
    if (!store) throw new Error("this coordinator has no folder for checkpoints");
    const taken = await takeOver(donor, {
      windowBytes: WINDOW_SHARE * windowBytes,
      stateHash,
      onProgress: (share) => {
        stall.end();
        if (now() - toldAt < PROGRESS_SECONDS) return;
        toldAt = now();
        onProgress(share);
      },
    });
    return { place: await store.save(taken!.state) };
  } catch (error) {
    return { error: `it did not come from ${member}: ${errorMessage(error)}` };
  }
}

/**
 * Collects a checkpoint from a member on another machine into the run's folder: the coordinator requests the member's copied state
 * in pieces, while training continues, and writes it if its hash is that of the state that the members agreed on.
 *
 * @module
 */

import { errorMessage } from "../../errors.ts";
import { now } from "../protocol/timeouts.ts";
import { donorOver } from "./donor_requests.ts";
import { isSoundManifest } from "../protocol/order_checks.ts";
import { transferState } from "./state_transfer.ts";
import { Stall } from "./stall.ts";
import { COORDINATOR, type Transport } from "../protocol/transport.ts";
import type { CheckpointStore, SaveResult } from "../replica/replica.ts";

/** Share of the vectors' window that a state in flight may take: steps have priority. */
const WINDOW_SHARE = 1 / 4;
/** Seconds between two progress reports. */
const PROGRESS_SECONDS = 2;

/** Which checkpoint is collected, and from whom. */
export interface Collection {
  /** The member that has copied its state. */
  member: string;
  /** Step of the state. */
  step: number;
  /** Common hash of all members' states; undefined where there is only one member. */
  stateHash?: string;
}

/** How a checkpoint is collected. */
export interface CollectOptions {
  /** Name of the run. */
  run: string;
  /** Number of parameters. */
  size: number;
  /** Bytes of vectors that may be in flight. */
  windowBytes: number;
  /** Seconds between two heartbeats. */
  heartbeatSeconds: number;
  /** Seconds without a piece after which the member is assumed to have dropped the state. */
  silenceSeconds: number;
  /** Whether it is still wanted. */
  isWanted: () => boolean;
  /** Told now and then which share has arrived, where it takes long. */
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
    patienceSeconds: 2 * heartbeatSeconds, // then a piece is requested again
    isSound: (manifest) => isSoundManifest(manifest, step, { size, moments: [] }),
    isWanted: () => isWanted() && !stall.isTooLong,
  });
  try {
    if (!store) throw new Error("this coordinator has no folder for checkpoints");
    const taken = await transferState(donor, {
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

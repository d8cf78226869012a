/**
 * A replica on this machine: its text, its backend, and the state that it begins with.
 *
 * @module
 */

import type { RunConfig } from "../../config/config.ts";
import { loadCorpus } from "../../data/corpus.ts";
import type { DataOrigin } from "../../data/microbatch.ts";
import { RunCheckpoints } from "../folder/checkpoints.ts";
import { RunFolder } from "../folder/run_folder.ts";
import { dilocoOf } from "./run_plan.ts";
import { DilocoReplica, hasOwnMoments, type Replica, type ReplicaState } from "../../dist/mod.ts";

/** What all members of a run have in common. */
export interface RunIdentity {
  /** Identity of the run. */
  id: string;
  /** The run part of its configuration. */
  config: RunConfig;
  /** Where its data began. */
  origin: DataOrigin;
}

/** What a replica on this machine needs besides. */
export interface ReplicaOptions {
  /** Where this machine has the text; by default the run's own `data.source`. */
  source?: string;
  /** What computes: "tensorflow" (default) or "cpu". */
  backend?: "tensorflow" | "cpu";
  /** "gpu" or "cpu"; by default a GPU where there is one. */
  device?: "cpu" | "gpu";
  /** Which GPU of this machine. */
  gpu?: number;
  /** Where checkpoints and this member's own state are kept: the run's folder, or a folder of the member for this run. */
  folder: string;
  /** Whether this is the machine where the run was started. */
  atHome?: boolean;
  /** Name of the worker that it is for; a single process has none. */
  member?: string;
  /** Gets the state that the replica begins with; without one it has the seed's. */
  start?: (checkpoints: RunCheckpoints) => Promise<ReplicaState> | undefined;
  /** Ends the preparations. */
  signal?: AbortSignal;
  /** Receives status lines. */
  onStatus?: (text: string) => void;
}

/** Prepares a replica. */
export async function openReplica(
  { id, config, origin }: RunIdentity,
  { source, backend, device, gpu, folder, atHome, member, start, signal, onStatus }: ReplicaOptions,
): Promise<Replica> {
  // Loaded only here: tfjs takes a second and 100 MB that a coordinator or launcher has no use for.
  const { initBackend } = await import("../../tensorflow/mod.ts");
  const { FlashReplica } = await import("./flash_replica.ts");
  const install = { signal, onProgress: onStatus };
  const onSkipped = atHome ? undefined : onStatus; // at home the coordinator or launcher reports it
  const corpus = await loadCorpus(source ?? config.data.source, config.data, { ...install, onSkipped });
  const info = await initBackend({ backend, threads: config.train.threads, device, gpu, ...install });
  onStatus?.(`computes with ${info.version} on ${info.deviceName}, threads: ${info.threads}`);
  const run = RunFolder.at(folder);
  const losses = () => run.validationLosses();
  const owner = { run: id, config, corpus: { bytes: corpus.bytes, sha256: corpus.sha256 }, origin, losses };
  const checkpoints = new RunCheckpoints(run.checkpoints, owner);
  const state = await start?.(checkpoints);
  const diloco = dilocoOf(config);
  if (state && member !== undefined && hasOwnMoments({ diloco, steps: config.train.steps }, state.step)) {
    const own = await checkpoints.loadMoments(member, state);
    if (own) state.own = own;
    else {onStatus?.(
        `found no moments of ${member} at step ${state.step}, and continues with the checkpoint's`,
      );}
  }
  const flash = new FlashReplica(config, corpus, info, checkpoints, member);
  if (state) flash.begin(state);
  await flash.prepare({ onStatus, signal });
  if (!diloco) return flash;
  const replica = new DilocoReplica(flash, diloco.outer);
  if (state) await replica.restore(state);
  return replica;
}

/**
 * How a run ended, as its last event. The process that holds the folder's lock records it: a coordinator that crashes and is
 * restarted has ended nothing.
 *
 * @module
 */

import { errorMessage } from "../../errors.ts";
import type { RunHappening } from "./events.ts";
import type { FolderLock } from "./lock.ts";
import { recordHappening, type RunListener } from "./log.ts";
import type { RunFolder } from "./run_folder.ts";
import type { Summary } from "./summary.ts";

/** What the ending of a run takes. */
export interface EndingOptions {
  /** The run's folder, and its lock: where another process has taken that, the run is that one's. */
  folder: RunFolder;
  lock: FolderLock;
  /** Gets the event. */
  onEvent: RunListener;
  /** What stops the run. */
  signal?: AbortSignal;
  /** Whether this start has continued the run: one that finds that it can't changes nothing in the folder. */
  hasBegun?: () => boolean;
}

/** Waits for the end of a run, and records it; also where the process exits before: at a second signal. */
export async function recordEnding(
  run: Promise<Summary>,
  { folder, lock, onEvent, signal, hasBegun = () => true }: EndingOptions,
): Promise<Summary> {
  const record = (ending: Omit<RunHappening & { event: "ended" }, "event">) => {
    if (!lock.isLost && hasBegun()) recordHappening(folder, onEvent, { event: "ended", ...ending });
  };
  const onExit = () => {
    const error = "its process ended at once; what was not saved by then is lost";
    record({ step: folder.record().lastStep, outcome: "stopped", error });
  };
  globalThis.addEventListener("unload", onExit);
  try {
    const summary = await run;
    record({ step: summary.steps, outcome: summary.interrupted ? "stopped" : "done" });
    return summary;
  } catch (error) {
    const step = folder.record().lastStep;
    const isStopped = signal?.aborted && error === signal.reason; // before its first step
    record(
      isStopped ? { step, outcome: "stopped" } : { step, outcome: "failed", error: errorMessage(error) },
    );
    throw error;
  } finally {
    globalThis.removeEventListener("unload", onExit);
  }
}

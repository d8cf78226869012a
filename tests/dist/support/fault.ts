/**
 * Ways in which a test lets a worker process die.
 *
 * @module
 */

import type { FaultPoint, ReachFaultPoint } from "../../../src/dist/protocol/fault_points.ts";
import { RunError } from "../../../src/errors.ts";

/** The ways in which a worker can be lost. */
export type WayToDie = "exception" | "SIGTERM" | "SIGKILL" | "SIGSTOP";

/** What happens to a process when it first comes to a fault point of this step or a later one. */
export interface Fault {
  point: FaultPoint;
  step: number;
  way: WayToDie;
}

/** Lets this process have its fault, once. */
export function suffer(fault: Fault | undefined): ReachFaultPoint {
  let isDue = fault !== undefined;
  return (point, step) => {
    if (!isDue || point !== fault!.point || step < fault!.step) return;
    isDue = false;
    if (fault!.way === "exception") throw new RunError(`fails ${point}, as it was told`);
    Deno.kill(Deno.pid, fault!.way);
  };
}

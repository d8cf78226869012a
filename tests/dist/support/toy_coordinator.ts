/**
 * A coordinator process of a toy run: `toy_coordinator.ts '{"url": …, "plan": …, "folder": …}'`. It writes `metrics.jsonl` into
 * the folder as `deno task train` does, and one line of JSON for each event on standard output.
 *
 * @module
 */

import { coordinate } from "../../../src/dist/coordinator.ts";
import type { CoordinatorFaultPoint } from "../../../src/dist/protocol/fault_points.ts";
import { takeNatsLease } from "../../../src/dist/nats/lease.ts";
import { connectNats } from "../../../src/dist/nats/transport.ts";
import { type CoordinationPlan, type DistEvent, NO_RECORD } from "../../../src/dist/replica/plan.ts";
import { errorMessage } from "../../../src/errors.ts";
import { RunFolder } from "../../../src/run/folder/run_folder.ts";
import { RunLog } from "../../../src/run/folder/log.ts";

/** What the process is told. */
export interface ToyCoordinatorOrder {
  url: string;
  plan: Omit<CoordinationPlan, "record">;
  folder: string;
  /** Whether another coordinator went before. */
  takesOver: boolean;
  /** What happens to this process when it first comes to a fault point of this step or a later one. */
  fault?: { point: CoordinatorFaultPoint; step: number; way: "SIGKILL" | "SIGSTOP" };
}

/** What the process tells. */
export type ToyCoordinatorEvent =
  | { kind: "listening" }
  /** The next thing that happens to this process is its fault. */
  | { kind: "struck" }
  | { kind: "told"; event: DistEvent }
  | { kind: "failed"; message: string };

function tell(event: ToyCoordinatorEvent): void {
  Deno.stdout.writeSync(new TextEncoder().encode(JSON.stringify(event) + "\n"));
}

if (import.meta.main) {
  const { url, plan, folder, takesOver, fault }: ToyCoordinatorOrder = JSON.parse(Deno.args[0]);
  const run = RunFolder.at(folder);
  const { workers } = run.record();
  const log = new RunLog(run, () => 0, () => {});
  const transport = await connectNats(url, "coordinator");
  let isDue = fault !== undefined;
  try {
    const outcome = await coordinate(transport, { ...plan, record: NO_RECORD }, {
      onListening: () => tell({ kind: "listening" }),
      onEvent: (event) => {
        log.handle(event);
        tell({ kind: "told", event });
      },
      takeLease: () => takeNatsLease(url, plan.run),
      takeOver: takesOver ? { expected: workers, recall: (step) => log.continueFrom(step) } : undefined,
      onFaultPoint: (point, step) => {
        if (!isDue || point !== fault!.point || step < fault!.step) return;
        isDue = false;
        tell({ kind: "struck" });
        Deno.kill(Deno.pid, fault!.way);
      },
    });
    await log.finish(outcome);
    Deno.exit(0);
  } catch (error) {
    tell({ kind: "failed", message: errorMessage(error) });
    Deno.exit(1);
  }
}

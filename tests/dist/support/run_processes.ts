/**
 * Runs toys in processes of their own, over a real NATS server.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import { coordinate } from "../../../src/dist/coordinator.ts";
import { watchConnections } from "../../../src/dist/nats/connection_events.ts";
import type { NatsServer } from "../../../src/dist/nats/server.ts";
import { connectNats } from "../../../src/dist/nats/transport.ts";
import type { CoordinationPlan, DistEvent, RunOutcome } from "../../../src/dist/replica/plan.ts";
import { descendants } from "../../run/support/runs.ts";
import { bounded } from "./bounded.ts";
import { UNSHARE } from "./pid_namespace.ts";
import type { ToyReducerOrder } from "./toy_reducer.ts";
import type { ToyOrder } from "./toy_worker.ts";

/** Starts a worker process. */
export function startToyWorker(order: ToyOrder): Deno.ChildProcess {
  return startScript(new URL("toy_worker.ts", import.meta.url), order, order.isApart ? UNSHARE : []);
}

/** Starts a reducer process. */
export function startToyReducer(order: ToyReducerOrder): Deno.ChildProcess {
  return startScript(new URL("toy_reducer.ts", import.meta.url), order);
}

/** Starts a script with an order, by a command that runs another. */
export function startScript(script: URL, order: unknown, by: readonly string[] = []): Deno.ChildProcess {
  const settings = fileURLToPath(new URL("../../../deno.json", import.meta.url));
  const [first, ...rest] = [...by, Deno.execPath()];
  return new Deno.Command(first, {
    args: [
      ...rest,
      "run",
      "--quiet",
      "--config",
      settings,
      "-A",
      fileURLToPath(script),
      JSON.stringify(order),
    ],
    stdin: "null",
    stdout: "null",
    stderr: "inherit",
  }).spawn();
}

/**
 * Coordinates worker processes; waits until they have ended. Where the run fails, or hangs, they are killed.
 *
 * @param server that of the run; where it says which connections close, the coordinator is told
 * @param onEvent gets what happens, with a way to start more workers, and those that were started, by name
 */
export async function runProcesses(
  { url, eventsUrl }: Pick<NatsServer, "url"> & Partial<Pick<NatsServer, "eventsUrl">>,
  plan: CoordinationPlan,
  orders: Omit<ToyOrder, "url" | "run">[],
  onEvent: (
    event: DistEvent,
    workers: ReadonlyMap<string, Deno.ChildProcess>,
    start: (order: Omit<ToyOrder, "url" | "run">) => void,
  ) => void = () => {},
): Promise<RunOutcome> {
  const transport = await connectNats(url, "coordinator");
  await using resources = new AsyncDisposableStack();
  const all: Deno.ChildProcess[] = [];
  const workers = new Map<string, Deno.ChildProcess>();
  const start = (order: Omit<ToyOrder, "url" | "run">) => {
    const worker = startToyWorker({ url, run: plan.run, ...order });
    all.push(worker);
    workers.set(order.member, worker);
  };
  const events: DistEvent[] = [];
  const run = async () => {
    const outcome = await coordinate(transport, plan, {
      onListening: () => orders.forEach(start),
      watchConnections: eventsUrl === undefined ? undefined : async (onClosed) => {
        resources.use(await watchConnections(eventsUrl, onClosed));
      },
      onEvent: (event) => {
        events.push(event);
        onEvent(event, workers, start);
      },
    });
    await transport.close();
    await Promise.all(all.map((worker) => worker.status));
    return outcome;
  };
  try {
    return await bounded("the end of coordinator and workers", run(), () => events);
  } catch (error) {
    await transport.close();
    await killAll(all);
    throw error;
  }
}

/** Kills those of these processes that are still there. */
export async function killAll(processes: readonly Deno.ChildProcess[]): Promise<void> {
  for (const process of processes) {
    try {
      process.kill("SIGKILL");
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // it has ended by itself
    }
  }
  await Promise.all(processes.map(({ status }) => status));
}

/** Kills the NATS server that this process has started. */
export function killServer(): void {
  const server = descendants(Deno.pid).find(({ command }) => /^\S*nats-server /.test(command));
  Deno.kill(server!.pid, "SIGKILL");
}

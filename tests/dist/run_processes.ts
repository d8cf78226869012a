/**
 * Runs toys in processes of their own, over a real NATS server.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import { coordinate } from "../../src/dist/coordinator.ts";
import { connectNats } from "../../src/dist/nats_transport.ts";
import type { CoordinationPlan, DistEvent, RunOutcome } from "../../src/dist/plan.ts";
import { descendants } from "../run/runs.ts";
import type { ToyOrder } from "./toy_worker.ts";

/** Starts a worker process. */
export function startToyWorker(order: ToyOrder): Deno.ChildProcess {
  return startToy("toy_worker.ts", order);
}

/** Starts one of this folder's scripts with an order. */
export function startToy(name: string, order: unknown): Deno.ChildProcess {
  const script = fileURLToPath(new URL(name, import.meta.url));
  const settings = fileURLToPath(new URL("../../deno.json", import.meta.url));
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--config", settings, "-A", script, JSON.stringify(order)],
    stdin: "null",
    stdout: "null",
    stderr: "inherit",
  }).spawn();
}

/**
 * Coordinates worker processes; waits until they have ended.
 *
 * @param onEvent gets what happens, with a way to start more workers, and those that were started, by name
 */
export async function runProcesses(
  url: string,
  plan: CoordinationPlan,
  orders: Omit<ToyOrder, "url" | "run">[],
  onEvent: (
    event: DistEvent,
    workers: ReadonlyMap<string, Deno.ChildProcess>,
    start: (order: Omit<ToyOrder, "url" | "run">) => void,
  ) => void = () => {},
): Promise<RunOutcome> {
  const transport = await connectNats(url, "coordinator");
  const all: Deno.ChildProcess[] = [];
  const workers = new Map<string, Deno.ChildProcess>();
  const start = (order: Omit<ToyOrder, "url" | "run">) => {
    const worker = startToyWorker({ url, run: plan.run, ...order });
    all.push(worker);
    workers.set(order.member, worker);
  };
  try {
    return await coordinate(transport, plan, {
      onListening: () => orders.forEach(start),
      onEvent: (event) => onEvent(event, workers, start),
    });
  } finally {
    await transport.close();
    await Promise.all(all.map((worker) => worker.status));
  }
}

/** Kills the NATS server that this process has started. */
export function killServer(): void {
  const server = descendants(Deno.pid).find(({ command }) => /^\S*nats-server /.test(command));
  Deno.kill(server!.pid, "SIGKILL");
}

/** Coordinator processes are killed and frozen, over a real NATS server; others take over, and the frozen ones wake up. @module */

import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { linesOf } from "../../src/run/processes/child.ts";
import { startNatsServer } from "../../src/dist/nats/server.ts";
import { runSingle } from "../../src/dist/single.ts";
import type { Summary } from "../../src/run/folder/summary.ts";
import { metricsOf } from "../run/support/runs.ts";
import { bounded } from "./support/bounded.ts";
import { killAll, startToyWorker } from "./support/run_processes.ts";
import { toyPlan, ToyReplica } from "./support/toy.ts";
import type { ToyCoordinatorEvent, ToyCoordinatorOrder } from "./support/toy_coordinator.ts";

const SIZE = 150_000; // 3 parts
const STEPS = 7;
const WORKERS = 2;
/** Runs at the same time. */
const LANES = 2;

const plan = toyPlan({
  steps: STEPS,
  startWorkers: WORKERS,
  minWorkers: WORKERS,
  evaluation: { every: 3, microBatches: 5 },
  saveEvery: 3,
  heartbeatSeconds: 0.2,
  patienceSeconds: 30, // no member is lost on a busy machine
  silenceSeconds: 60,
  partBytes: 256 * 1024,
});

/** A coordinator process. */
class Coordinator {
  readonly process: Deno.ChildProcess;
  readonly events: ToyCoordinatorEvent[] = [];
  readonly #waiting = new Set<() => void>();
  /** Its exit code, once all that it told was heard. */
  readonly ended: Promise<number>;

  constructor(order: ToyCoordinatorOrder) {
    const script = fileURLToPath(new URL("./support/toy_coordinator.ts", import.meta.url));
    const settings = fileURLToPath(new URL("../../deno.json", import.meta.url));
    this.process = new Deno.Command(Deno.execPath(), {
      args: ["run", "--quiet", "--config", settings, "-A", script, JSON.stringify(order)],
      stdin: "null",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.ended = this.#listen();
  }

  /** Waits for what the process tells; fails where it ends before. */
  async told(what: (event: ToyCoordinatorEvent) => boolean): Promise<ToyCoordinatorEvent> {
    const { promise, resolve } = Promise.withResolvers<ToyCoordinatorEvent>();
    const look = () => {
      const event = this.events.find(what);
      if (event) resolve(event);
    };
    this.#waiting.add(look);
    look();
    const over = this.ended.then(() =>
      Promise.reject(new Error(`it ended: ${JSON.stringify(this.events.at(-1))}`))
    );
    over.catch(() => {});
    return await bounded("what a coordinator tells", Promise.race([promise, over]), () => this.events)
      .finally(() => this.#waiting.delete(look));
  }

  /** Wakes the process up, where it is frozen. */
  wake(): void {
    this.process.kill("SIGCONT");
  }

  async #listen(): Promise<number> {
    for await (const line of linesOf(this.process.stdout)) {
      this.events.push(JSON.parse(line));
      for (const look of this.#waiting) look();
    }
    return (await this.process.status).code;
  }
}

/** A run whose coordinator is struck once, and what was wrong with it. Where it hangs, its processes are killed. */
async function check(
  url: string,
  folder: string,
  fault: ToyCoordinatorOrder["fault"] & object,
): Promise<string[]> {
  await using started = new AsyncDisposableStack();
  const begin = (order: ToyCoordinatorOrder) => {
    const coordinator = new Coordinator(order);
    started.defer(() => killAll([coordinator.process]));
    return coordinator;
  };
  const name = `${fault.point}-${fault.way}`;
  const order = { url, plan: { ...plan, run: name }, folder: `${folder}/${name}` };
  await Deno.mkdir(order.folder);
  const first = begin({ ...order, takesOver: false, fault });
  await first.told(({ kind }) => kind === "listening");
  const workers = Array.from(
    { length: WORKERS },
    (_, i) => startToyWorker({ url, run: name, member: `worker-${i}`, size: SIZE }),
  );
  started.defer(() => killAll(workers));
  await first.told(({ kind }) => kind === "struck");
  if (fault.way === "SIGKILL") await first.ended;
  const second = begin({ ...order, takesOver: true });
  await second.told((told) => told.kind === "told" && told.event.kind === "took over");
  if (fault.way === "SIGSTOP") first.wake();
  const ending = Promise.all([second.ended, ...workers.map(async (worker) => (await worker.status).code)]);
  const codes = await bounded(`the end of all processes of ${name}`, ending, () => second.events);
  const problems: string[] = [];
  const expect = (holds: boolean, what: string) => holds || problems.push(`${name}: ${what}`);
  expect(codes.every((code) => code === 0), `exit codes ${codes}`);
  if (fault.way === "SIGSTOP") {
    const failed = await first.told(({ kind }) => kind === "failed");
    expect(JSON.stringify(failed).includes("another coordinator has taken over"), JSON.stringify(failed));
    expect(await first.ended === 1, "the one that woke up ends with an error");
  }
  const { steps, evaluations } = metricsOf(order.folder);
  expect(steps.map(({ step }) => step).join() === "1,2,3,4,5,6,7", `steps ${steps.map(({ step }) => step)}`);
  expect(
    evaluations.map(({ step }) => step).join() === "3,6,7",
    `evaluations ${evaluations.map(({ step }) => step)}`,
  );
  expect(steps.every(({ elapsed }, i) => i === 0 || elapsed >= steps[i - 1].elapsed), "time goes back");
  const alone = await runSingle(new ToyReplica({ size: SIZE }), plan);
  const summary: Summary = JSON.parse(await Deno.readTextFile(`${order.folder}/summary.json`));
  expect(summary.paramsHash === alone.paramsHash, "other parameters");
  expect(summary.tokens === alone.tokens && summary.loss === alone.loss, "other tokens or loss");
  expect(summary.valLoss === alone.valLoss, "another validation loss");
  return problems;
}

Deno.test("a coordinator process is killed or frozen anywhere, another one takes over, and one that wakes up changes nothing", async () => {
  await using server = await startNatsServer();
  const folder = await Deno.makeTempDir({ prefix: "flashmob-test-" });
  const points = ["before-commit", "after-commit", "evaluating", "saving"] as const;
  const faults = points.flatMap((point) =>
    (["SIGKILL", "SIGSTOP"] as const).map((way) => ({ point, way, step: 3 }))
  );
  const problems: string[] = [];
  const next = faults.values();
  const lane = async () => {
    for (const fault of next) problems.push(...await check(server.url, folder, fault));
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  await Deno.remove(folder, { recursive: true });
  assert.deepEqual(problems, []);
});

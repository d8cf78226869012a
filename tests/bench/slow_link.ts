/**
 * How the time of a step divides into computing and waiting where workers are behind a slow network
 * (tests/dist/slow_link.ts): toys in processes of their own, whose gradient takes a given time.
 *
 *     deno run -A tests/bench/slow_link.ts [--workers 4] [--codecs float32,bfloat16,int8] [--values 13400601] [--compute 400]
 *       [--mbits 100] [--roundTrip 40] [--cuts 0.01] [--steps 12] [--far] [--json]
 *
 * Processor time per step is that of this machine: a slow network does not change it, and docs/scaling.md builds on it.
 * `--compute`: milliseconds of a worker's gradient; `--cuts`: share of the connections that is cut in a minute; `--far`: the
 * coordinator is behind the slow network, too, and not beside the server.
 *
 * @module
 */

import { parseArgs } from "@std/cli/parse-args";
import { fileURLToPath } from "node:url";
import { CODEC_NAMES, type CodecName, codecOf } from "../../src/dist/codecs/codecs.ts";
import { coordinate } from "../../src/dist/coordinator.ts";
import { connectNats } from "../../src/dist/nats_transport.ts";
import { startNatsServer } from "../../src/dist/server.ts";
import type { LinkOptions } from "../dist/slow_link.ts";
import { toyPlan } from "../dist/toy.ts";
import { descendants } from "../run/runs.ts";
import { median, startBenchWorker } from "./workers.ts";

/** Steps before those that count. */
const WARM_UP = 2;

/** What is measured. */
interface Setting {
  workers: number;
  values: number;
  computeSeconds: number;
  link: LinkOptions;
  isFar: boolean;
  steps: number;
}

/** One line of the result. Seconds are of a step, medians. */
interface Row {
  codec: CodecName;
  step: number;
  waiting: number;
  /** Share of the step. */
  share: number;
  /** What a worker's own bytes take on its link, in one direction; both are used at the same time. */
  atFullSpeed: number;
  /** Of what came and went, how much was sent again. */
  repeated: number;
  cuts: number;
  /** Processor time of a step, in milliseconds. */
  coordinatorCpu: number;
  workerCpu: number;
  serverCpu: number;
}

/** Processor time that a process has used so far, in milliseconds. */
function cpuOf(pid: number): number {
  const [user, system] = Deno.readTextFileSync(`/proc/${pid}/stat`).split(") ")[1].split(" ").slice(11);
  return 10 * (Number(user) + Number(system)); // the system counts in hundredths of a second
}

/** The proxy in a process of its own. */
async function startLink(url: string, options: LinkOptions) {
  const script = fileURLToPath(new URL("../dist/slow_link.ts", import.meta.url));
  const args = ["run", "--quiet", "--no-check", "-A", script, JSON.stringify({ url, ...options })];
  const child = new Deno.Command(Deno.execPath(), {
    args,
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
  })
    .spawn();
  const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const address = (await lines.read()).value!.trim();
  const end = async () => {
    await child.stdin.close();
    return Number((await lines.read()).value);
  };
  return { url: address, end };
}

async function measure(codec: CodecName, setting: Setting): Promise<Row> {
  const { workers, values: size, computeSeconds, isFar, steps } = setting;
  await using server = await startNatsServer();
  const link = await startLink(server.url, setting.link);
  const transport = await connectNats(isFar ? link.url : server.url, "coordinator");
  const plan = toyPlan({
    codec,
    steps,
    microBatches: workers,
    startWorkers: workers,
    evaluation: { every: 0, microBatches: 0 },
    heartbeatSeconds: 1,
  });
  const processes: Deno.ChildProcess[] = [];
  const order = { url: link.url, run: plan.run, size, gradientTime: 1000 * computeSeconds };
  const ends: number[] = [];
  const begun: number[] = [], used: number[] = [];
  const noteCpu = (into: number[]) => {
    const { pid } = descendants(Deno.pid).find(({ command }) => /^\S*nats-server /.test(command))!;
    into.push(...[Deno.pid, processes[0].pid, pid].map(cpuOf));
  };
  const outcome = await coordinate(transport, plan, {
    onListening: () => {
      for (let i = 0; i < workers; i++) processes.push(startBenchWorker({ ...order, member: `worker-${i}` }));
    },
    onEvent: (event) => {
      if (event.kind !== "step") return;
      ends.push(performance.now() / 1000);
      if (ends.length === WARM_UP) noteCpu(begun);
      if (ends.length === steps) noteCpu(used);
    },
  });
  await transport.close();
  await Promise.all(processes.map(({ status }) => status));
  const cuts = await link.end();
  const step = median(ends.slice(WARM_UP).map((end, i) => end - ends[i + WARM_UP - 1]));
  const [coordinatorCpu, workerCpu, serverCpu] = used.map((all, i) => (all - begun[i]) / (steps - WARM_UP));
  const bytes = codecOf(codec).byteLength(size);
  return {
    codec,
    step,
    waiting: step - computeSeconds,
    share: 1 - computeSeconds / step,
    atFullSpeed: bytes / setting.link.bytesPerSecond,
    repeated: (outcome.bytesSent + outcome.bytesReceived) / (2 * bytes * workers * steps) - 1,
    cuts,
    coordinatorCpu,
    workerCpu,
    serverCpu,
  };
}

if (import.meta.main) {
  const args = parseArgs(Deno.args, {
    string: ["workers", "codecs", "values", "compute", "mbits", "roundTrip", "cuts", "steps"],
    boolean: ["far", "json"],
  });
  const setting: Setting = {
    workers: Number(args.workers ?? 4),
    values: Number(args.values ?? 13_400_601),
    computeSeconds: Number(args.compute ?? 400) / 1000,
    link: {
      bytesPerSecond: Number(args.mbits ?? 100) * 125_000,
      delaySeconds: Number(args.roundTrip ?? 40) / 2000,
      cutsPerMinute: Number(args.cuts ?? 0.01),
    },
    isFar: Boolean(args.far),
    steps: Number(args.steps ?? 12),
  };
  const rows: Row[] = [];
  for (const codec of CODEC_NAMES) {
    if (String(args.codecs ?? CODEC_NAMES).split(",").includes(codec)) {
      rows.push(await measure(codec, setting));
    }
  }
  if (args.json) console.log(JSON.stringify(rows));
  else console.table(rows);
  Deno.exit(0);
}

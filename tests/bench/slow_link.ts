/**
 * How the time of a step divides into computing and waiting where workers are behind a slow network
 * (tests/dist/support/slow_link.ts): toys in processes of their own, whose gradient takes a given time.
 *
 *     deno run -A tests/bench/slow_link.ts [--workers 4] [--codecs float32,bfloat16,int8] [--mode allreduce | average]
 *       [--localSteps 20] [--values 13400601] [--compute 400] [--mbits 100] [--roundTrip 40] [--cuts 0.01] [--steps N] [--far | --direct] [--json]
 *
 * `--compute`: milliseconds of a worker's gradient; `--cuts`: share of the connections that is cut in a minute; `--far`: the
 * coordinator is behind the slow network, too, and not beside the server; `--direct`: nobody is, so that the processor time is
 * what docs/scaling.md builds on (a slow network breaks everything into small pieces, which costs more).
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import { type Command, HELP_FLAG, wholeFrom } from "../../src/cli/arguments.ts";
import { CODEC_NAMES, codecOf } from "../../src/dist/vectors/codecs.ts";
import { coordinate } from "../../src/dist/coordinator.ts";
import { connectNats } from "../../src/dist/nats/transport.ts";
import { startNatsServer } from "../../src/dist/nats/server.ts";
import type { LinkOptions } from "../dist/support/slow_link.ts";
import { toyPlan } from "../dist/support/toy.ts";
import { descendants } from "../run/support/runs.ts";
import type { SlowWorkerOrder, SlowWorkerReport } from "./slow_link_worker.ts";
import type { CodecName } from "../../src/dist/vectors/codec.ts";
import { scriptArguments } from "../support/script.ts";

const POSITIVE = { wanted: "a number of at least 0", holds: (value: number) => value >= 0 };

const SLOW_LINK: Command = {
  usage: [["deno run -A tests/bench/slow_link.ts [options]", "times steps behind a slow network"]],
  positional: [],
  short: {},
  flags: [
    { name: "workers", value: "N", text: "Default 4.", number: wholeFrom(1) },
    { name: "codecs", value: "CODEC,…", text: "Default: all." },
    { name: "mode", value: "MODE", text: "allreduce (default) or average." },
    { name: "localSteps", value: "N", text: "With average. Default 20.", number: wholeFrom(1) },
    { name: "values", value: "N", text: "Of the vector. Default 13400601.", number: wholeFrom(1) },
    { name: "compute", value: "N", text: "Milliseconds of a gradient. Default 400.", number: POSITIVE },
    { name: "mbits", value: "N", text: "Of each worker's link, in a second. Default 100.", number: POSITIVE },
    { name: "roundTrip", value: "N", text: "Milliseconds. Default 40.", number: POSITIVE },
    {
      name: "cuts",
      value: "N",
      text: "Share of the connections cut in a minute. Default 0.01.",
      number: POSITIVE,
    },
    { name: "steps", value: "N", text: "Default 8, with average 4 rounds.", number: wholeFrom(1) },
    { name: "far", text: "The coordinator is behind the slow network, too." },
    { name: "direct", text: "Nobody is." },
    { name: "json", text: "Print JSON." },
    HELP_FLAG,
  ],
};

/** The proxy that makes a link slow, and a worker behind it. */
const LINK = new URL("../dist/support/slow_link.ts", import.meta.url);
const WORKER = new URL("./slow_link_worker.ts", import.meta.url);

/** What is measured. */
interface Setting {
  workers: number;
  values: number;
  computeSeconds: number;
  link: LinkOptions;
  /** Without the slow network. */
  isDirect: boolean;
  isFar: boolean;
  steps: number;
  /** Undefined: gradients are averaged. */
  localSteps?: number;
}

/** One line of the result. Seconds are of a step. */
interface Row {
  codec: CodecName;
  step: number;
  waiting: number;
  /** Share of the time that workers wait. */
  share: number;
  /** What a worker's bytes take on its link, in one direction; both are used at the same time. */
  least: number;
  /** Of what came and went, how much was sent again. */
  repeated: number;
  cuts: number;
  /** Processor time in milliseconds. */
  coordinatorCpu: number;
  workerCpu: number;
  serverCpu: number;
}

/** Processor time that a process has used so far, in milliseconds. */
function cpuOf(pid: number): number {
  const [user, system] = Deno.readTextFileSync(`/proc/${pid}/stat`).split(") ")[1].split(" ").slice(11);
  return 10 * (Number(user) + Number(system)); // the system counts in hundredths of a second
}

function start(script: URL, order: unknown, stdin: "piped" | "null"): Deno.ChildProcess {
  const args = ["run", "--quiet", "--no-check", "-A", fileURLToPath(script), JSON.stringify(order)];
  return new Deno.Command(Deno.execPath(), { args, stdin, stdout: "piped", stderr: "inherit" }).spawn();
}

/** The proxy in a process of its own. */
async function startLink(url: string, options: LinkOptions) {
  const child = start(LINK, { url, ...options }, "piped");
  const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const address = (await lines.read()).value!.trim();
  const end = async () => {
    await child.stdin.close();
    return Number((await lines.read()).value);
  };
  return { url: address, end };
}

async function measure(codec: CodecName, setting: Setting): Promise<Row> {
  const { workers, values: size, computeSeconds, isDirect, isFar, steps, localSteps } = setting;
  await using server = await startNatsServer();
  const link = isDirect
    ? { url: server.url, end: () => Promise.resolve(0) }
    : await startLink(server.url, setting.link);
  const transport = await connectNats(isFar ? link.url : server.url, "coordinator");
  const plan = toyPlan({
    windowBytes: 16 * 1024 * 1024,
    codec,
    steps,
    microBatches: workers,
    startWorkers: workers,
    evaluation: { every: 0, microBatches: 0 },
    heartbeatSeconds: 1,
    diloco: localSteps ? { localSteps, warmupSteps: 0, outer: { rate: 0.7, momentum: 0.9 } } : undefined,
  });
  const common = { url: link.url, run: plan.run, size, gradientTime: 1000 * computeSeconds };
  const orders = Array.from({ length: workers }, (_, i): SlowWorkerOrder => ({
    ...common,
    member: `worker-${i}`,
    averages: localSteps !== undefined,
  }));
  const processes: Deno.ChildProcess[] = [];
  const cpu: { step: number; used: number[] }[] = [];
  const noteCpu = (step: number) => {
    const { pid } = descendants(Deno.pid).find(({ command }) => /^\S*nats-server /.test(command))!;
    cpu.push({ step, used: [Deno.pid, processes[0].pid, pid].map(cpuOf) });
  };
  const outcome = await coordinate(transport, plan, {
    onListening: () => processes.push(...orders.map((order) => start(WORKER, order, "null"))),
    onEvent: (event) => event.kind === "step" && noteCpu(event.committed.step),
  });
  await transport.close();
  const reports = await Promise.all(processes.map(async (process): Promise<SlowWorkerReport> => {
    const { stdout } = await process.output();
    return JSON.parse(new TextDecoder().decode(stdout));
  }));
  const cuts = await link.end();
  const total = (key: keyof SlowWorkerReport) => reports.reduce((sum, report) => sum + report[key], 0);
  const { step: begun, used: before } = cpu[localSteps ?? 1], { step: end, used: after } = cpu.at(-1)!;
  const [coordinatorCpu, workerCpu, serverCpu] = after.map((used, i) => (used - before[i]) / (end - begun));
  const bytes = codecOf(codec).byteLength(size), rounds = steps / (localSteps ?? 1);
  return {
    codec,
    step: total("span") / total("steps"),
    waiting: (total("span") - total("busy")) / total("steps"),
    share: 1 - total("busy") / total("span"),
    least: bytes / setting.link.bytesPerSecond / (localSteps ?? 1),
    repeated: (outcome.bytesSent + outcome.bytesReceived) / (2 * bytes * workers * rounds) - 1,
    cuts,
    coordinatorCpu,
    workerCpu,
    serverCpu,
  };
}

if (import.meta.main) {
  const { switches, texts, numbers } = scriptArguments(SLOW_LINK);
  const localSteps = texts.mode === "average" ? numbers.localSteps ?? 20 : undefined;
  const setting: Setting = {
    workers: numbers.workers ?? 4,
    values: numbers.values ?? 13_400_601,
    computeSeconds: (numbers.compute ?? 400) / 1000,
    link: {
      bytesPerSecond: (numbers.mbits ?? 100) * 125_000,
      delaySeconds: (numbers.roundTrip ?? 40) / 2000,
      cutsPerMinute: numbers.cuts ?? 0.01,
    },
    isDirect: switches.direct,
    isFar: switches.far,
    steps: numbers.steps ?? 4 * (localSteps ?? 2),
    localSteps,
  };
  const rows: Row[] = [];
  for (const codec of CODEC_NAMES) {
    if ((texts.codecs ?? CODEC_NAMES.join()).split(",").includes(codec)) {
      rows.push(await measure(codec, setting));
    }
  }
  if (switches.json) console.log(JSON.stringify(rows));
  else console.table(rows);
  Deno.exit(0);
}

/**
 * Times the averaging of a step over a NATS server, from the first part that the coordinator asks for until all workers have
 * the whole mean, beside gloo's `all_reduce` of float32 (peer/gloo_allreduce.py) in alternating runs.
 *
 *     deno task bench:averaging [--workers 1,2,4,8] [--codecs float32,bfloat16,int8] [--rounds 3] [--python python3] [--json]
 *
 * @module
 */

import { parseArgs } from "@std/cli/parse-args";
import { fileURLToPath } from "node:url";
import { CODEC_NAMES, type CodecName } from "../../src/dist/codecs/codecs.ts";
import { coordinate } from "../../src/dist/coordinator.ts";
import { KINDS } from "../../src/dist/frames.ts";
import { connectNats } from "../../src/dist/nats_transport.ts";
import { startNatsServer } from "../../src/dist/server.ts";
import type { Transport } from "../../src/dist/transport.ts";
import { tapped } from "../dist/tapped.ts";
import { toyPlan } from "../dist/toy.ts";

/** Parameters of FLASH-pytorch's train.py model, and what one more run counts. */
const VALUES = 13_400_601;
/** Steps of a run, and those before the ones that count. */
const STEPS = 12, WARM_UP = 3;
/** Processes of gloo abort now and then when the first of them ends, some before anything is printed. */
const GLOO_ATTEMPTS = 3;
/** Byte of a frame that says its kind. */
const KIND_AT = 9;

/** One line of the result. */
interface Row {
  workers: number;
  codec: string;
  /** Median over the runs' medians. */
  seconds: number;
  /** Medians of the runs. */
  runs: number[];
  /** Of gloo in the same rounds. */
  gloo?: number;
  /** Median of the rounds' ratios. */
  ratio?: number;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1];
}

/** The transport, noting how long each averaging takes. */
function watched(transport: Transport, times: number[]): Transport {
  let begun = 0;
  return tapped(transport, (data) => {
    if (data[KIND_AT] === KINDS.pull) begun ||= performance.now();
    if (data[KIND_AT] !== KINDS.commit) return;
    times.push((performance.now() - begun) / 1000);
    begun = 0;
  });
}

/** Median seconds of an averaging between worker processes, with this process as the coordinator. */
async function timeOurs(workers: number, codec: CodecName): Promise<number> {
  await using server = await startNatsServer();
  const transport = await connectNats(server.url, "coordinator");
  const times: number[] = [];
  const evaluation = { every: 0, microBatches: 0 };
  const plan = toyPlan({
    codec,
    steps: STEPS,
    microBatches: workers,
    startWorkers: workers,
    evaluation,
    heartbeatSeconds: 1,
  });
  const processes: Deno.ChildProcess[] = [];
  const start = () => {
    for (let i = 0; i < workers; i++) {
      processes.push(startWorker({ url: server.url, run: plan.run, member: `worker-${i}`, size: VALUES }));
    }
  };
  await coordinate(watched(transport, times), plan, { onListening: start });
  await transport.close();
  await Promise.all(processes.map(({ status }) => status));
  return median(times.slice(WARM_UP));
}

function startWorker(order: { url: string; run: string; member: string; size: number }): Deno.ChildProcess {
  const script = fileURLToPath(new URL("./averaging_worker.ts", import.meta.url));
  const args = ["run", "--quiet", "--no-check", "-A", script, JSON.stringify(order)];
  return new Deno.Command(Deno.execPath(), { args, stdin: "null", stdout: "null", stderr: "inherit" })
    .spawn();
}

/** Median seconds of gloo's all_reduce; undefined where this Python has no PyTorch. */
async function timeGloo(python: string, workers: number): Promise<number | undefined> {
  const script = fileURLToPath(new URL("./peer/gloo_allreduce.py", import.meta.url));
  for (let attempt = 0; attempt < GLOO_ATTEMPTS; attempt++) {
    const { stdout } = await new Deno.Command(python, { args: [script, String(workers)] }).output();
    const line = new TextDecoder().decode(stdout).trim();
    if (line) return JSON.parse(line).seconds;
  }
}

/** All codecs and gloo, one after the other, again and again. */
async function compare(
  workers: number,
  codecs: CodecName[],
  rounds: number,
  python: string,
): Promise<Row[]> {
  const gloo: (number | undefined)[] = [];
  const ours: Record<string, number[]> = {};
  for (let round = 0; round < rounds; round++) {
    gloo.push(await timeGloo(python, workers));
    for (const codec of codecs) (ours[codec] ??= []).push(await timeOurs(workers, codec));
  }
  const peers = gloo.filter((seconds) => seconds !== undefined);
  return codecs.map((codec) => ({
    workers,
    codec,
    seconds: median(ours[codec]),
    runs: ours[codec],
    ...(peers.length < rounds
      ? {}
      : { gloo: median(peers), ratio: median(ours[codec].map((seconds, i) => seconds / peers[i])) }),
  }));
}

if (import.meta.main) {
  const args = parseArgs(Deno.args, {
    string: ["workers", "codecs", "rounds", "python"],
    boolean: ["json"],
  });
  const { workers = "1,2,4,8", rounds = 3, python = "python3", codecs = CODEC_NAMES.join() } = args;
  const chosen = CODEC_NAMES.filter((name) => String(codecs).split(",").includes(name));
  const rows: Row[] = [];
  for (const count of String(workers).split(",").map(Number)) {
    rows.push(...await compare(count, chosen, Number(rounds), String(python)));
  }
  if (args.json) console.log(JSON.stringify(rows));
  else console.table(rows.map(({ runs: _, ...row }) => row));
  Deno.exit(0);
}

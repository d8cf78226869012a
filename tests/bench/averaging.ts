/**
 * Times the averaging of a step over a NATS server, from the first part that the coordinator asks for until all workers have
 * the whole mean, beside gloo's `all_reduce` of float32 (peer/gloo_allreduce.py) in alternating runs.
 *
 *     deno task bench:averaging [--workers 1,2,4,8] [--reducers 0,2] [--codecs float32,bfloat16,int8] [--rounds 3]
 *       [--values N] [--no-shared] [--python python3] [--json]
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import { type Command, HELP_FLAG, wholeFrom } from "../../src/cli/arguments.ts";
import { scriptArguments } from "../support/script.ts";
import { CODEC_NAMES } from "../../src/dist/vectors/codecs.ts";
import { coordinate } from "../../src/dist/coordinator.ts";
import { KINDS } from "../../src/dist/protocol/frames.ts";
import { connectNats } from "../../src/dist/nats/transport.ts";
import { startNatsServer } from "../../src/dist/nats/server.ts";
import type { Transport } from "../../src/dist/protocol/transport.ts";
import { startScript, startToyReducer } from "../dist/support/run_processes.ts";
import { tapped } from "../dist/support/tapped.ts";
import { toyPlan } from "../dist/support/toy.ts";
import type { CodecName } from "../../src/dist/vectors/codec.ts";

/** What it takes. */
export const AVERAGING: Command = {
  usage: [["deno task bench:averaging [options]", "averaging over NATS, beside gloo's all_reduce"]],
  positional: [],
  short: {},
  flags: [
    { name: "workers", value: "N,…", text: "Numbers of workers. Default 1,2,4,8." },
    { name: "reducers", value: "N,…", text: "Numbers of reducers. Default 0." },
    { name: "codecs", value: "CODEC,…", text: "Default: all." },
    { name: "rounds", value: "N", text: "Measurements of each. Default 3.", number: wholeFrom(1) },
    {
      name: "values",
      value: "N",
      text:
        "Length of the vector. Default 13400601: the parameters of FLASH-pytorch's train.py, and one more.",
      number: wholeFrom(1),
    },
    { name: "no-shared", text: "Vectors travel as between machines, without shared memory." },
    { name: "python", value: "COMMAND", text: "A Python with torch, for gloo. Default python3." },
    {
      name: "json",
      text: "Print the result as JSON, and in a last line float32's time as a multiple of gloo's.",
    },
    HELP_FLAG,
  ],
};

/** Parameters of FLASH-pytorch's train.py model, and what one more run counts. */
const VALUES = 13_400_601;
/** Steps of a run, and those before the ones that count. */
const STEPS = 12, WARM_UP = 3;
/** Processes of gloo abort now and then when the first of them ends, some before anything is printed. */
const GLOO_ATTEMPTS = 3;
/** Most bytes in flight, as by default. */
const WINDOW = 16 * 1024 * 1024;
/** What a worker of the benchmark runs. */
const WORKER = new URL("./averaging_worker.ts", import.meta.url);
/** Byte of a frame that says its kind. */
const KIND_AT = 9;

/** One line of the result. */
interface Row {
  workers: number;
  /** 0: the coordinator averages. */
  reducers: number;
  codec: string;
  /** Median over the runs' medians. */
  seconds: number;
  /** Medians of the runs. */
  runs: number[];
  /** Resident memory of the coordinator and of the largest worker, in MB: of a page that n processes share each has a part of n. */
  coordinatorMb: number;
  workerMb: number;
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
    if (data[KIND_AT] === KINDS.pull || data[KIND_AT] === KINDS.reduce) begun ||= performance.now();
    if (data[KIND_AT] !== KINDS.commit) return;
    times.push((performance.now() - begun) / 1000);
    begun = 0;
  });
}

/** Who takes part, and with what. */
interface Crew {
  workers: number;
  /** 0: the coordinator averages. */
  reducers: number;
  /** Length of a vector. */
  values: number;
  sharesMemory: boolean;
}

/** What a run of ours has cost. */
interface Cost {
  /** Median of its averagings. */
  seconds: number;
  /** As in {@linkcode Row}. */
  coordinatorMb: number;
  workerMb: number;
}

/** Resident memory of a process in MB, of shared pages its part ("proportional set size" of Linux). */
function residentMb(pid: number): number {
  const { stdout } = new Deno.Command("cat", { args: [`/proc/${pid}/smaps_rollup`] }).outputSync(); // Deno's own reading needs -A
  return Math.round(1.024e-3 * Number(/^Pss:\s+(\d+) kB/m.exec(new TextDecoder().decode(stdout))![1]));
}

/** An averaging between worker processes, with this process as the coordinator. */
async function costOfOurs(
  { workers, reducers, values, sharesMemory }: Crew,
  codec: CodecName,
): Promise<Cost> {
  await using server = await startNatsServer();
  const transport = await connectNats(server.url, "coordinator");
  const times: number[] = [];
  const evaluation = { every: 0, microBatches: 0 };
  const plan = toyPlan({
    codec,
    windowBytes: WINDOW,
    steps: STEPS,
    microBatches: workers,
    startWorkers: workers,
    evaluation,
    heartbeatSeconds: 1,
  });
  const processes: Deno.ChildProcess[] = [];
  const failure = Promise.withResolvers<never>();
  const keep = (process: Deno.ChildProcess) => {
    processes.push(process);
    process.status.then(({ success }) => {
      if (!success) failure.reject(new Error("a process of the benchmark has failed; it has said why"));
    });
  };
  const common = { url: server.url, run: plan.run };
  const startWorkers = () => {
    for (let i = 0; i < workers; i++) {
      keep(startScript(WORKER, { ...common, member: `worker-${i}`, size: values, sharesMemory }));
    }
  };
  const memory = { coordinatorMb: 0, workerMb: 0 };
  const coordinated = coordinate(watched(transport, times), plan, {
    sharesMemory,
    onListening: () => {
      for (let i = 0; i < reducers; i++) {
        keep(startToyReducer({ ...common, reducer: `reducer-${i}` }));
      }
      if (reducers === 0) startWorkers();
    },
    onEvent: (event) => {
      if (event.kind === "reducerJoined" && event.reducers === reducers) startWorkers();
      if (event.kind !== "step" || event.committed.step < STEPS) return;
      memory.coordinatorMb = residentMb(Deno.pid);
      memory.workerMb = Math.max(...processes.slice(-workers).map(({ pid }) => residentMb(pid)));
    },
  });
  await Promise.race([coordinated, failure.promise]);
  await transport.close();
  await Promise.all(processes.map(({ status }) => status));
  return { seconds: median(times.slice(WARM_UP)), ...memory };
}

/** Median seconds of gloo's all_reduce; undefined where this Python has no PyTorch. */
async function timeGloo(python: string, { workers, values }: Crew): Promise<number | undefined> {
  const script = fileURLToPath(new URL("./peer/gloo_allreduce.py", import.meta.url));
  for (let attempt = 0; attempt < GLOO_ATTEMPTS; attempt++) {
    const { stdout } = await new Deno.Command(python, { args: [script, String(workers), String(values)] })
      .output();
    const line = new TextDecoder().decode(stdout).trim();
    if (line) return JSON.parse(line).seconds;
  }
}

/** All codecs and gloo, one after the other, again and again. */
async function compare(
  crew: Omit<Crew, "reducers">,
  reducers: number[],
  codecs: CodecName[],
  rounds: number,
  python: string,
): Promise<Row[]> {
  const gloo: (number | undefined)[] = [];
  const ours = reducers.flatMap((reducers) =>
    codecs.map((codec) => ({ crew: { ...crew, reducers }, codec, costs: [] as Cost[] }))
  );
  for (let round = 0; round < rounds; round++) {
    gloo.push(await timeGloo(python, { ...crew, reducers: 0 }));
    for (const { crew, codec, costs } of ours) costs.push(await costOfOurs(crew, codec));
  }
  const peers = gloo.filter((seconds) => seconds !== undefined);
  return ours.map(({ crew: { workers, reducers }, codec, costs }) => ({
    workers,
    reducers,
    codec,
    seconds: median(costs.map(({ seconds }) => seconds)),
    runs: costs.map(({ seconds }) => seconds),
    coordinatorMb: median(costs.map(({ coordinatorMb }) => coordinatorMb)),
    workerMb: median(costs.map(({ workerMb }) => workerMb)),
    ...(peers.length < rounds
      ? {}
      : { gloo: median(peers), ratio: median(costs.map(({ seconds }, i) => seconds / peers[i])) }),
  }));
}

if (import.meta.main) {
  const { switches, texts, numbers: { rounds = 3, values = VALUES } } = scriptArguments(AVERAGING);
  const sharesMemory = !switches["no-shared"];
  const { workers = "1,2,4,8", reducers = "0", python = "python3", codecs = CODEC_NAMES.join() } = texts;
  const chosen = CODEC_NAMES.filter((name) => codecs.split(",").includes(name));
  const numbers = (text: string) => text.split(",").map(Number);
  const rows: Row[] = [];
  for (const count of numbers(workers)) {
    const crew = { workers: count, values, sharesMemory };
    rows.push(...await compare(crew, numbers(reducers), chosen, rounds, python));
  }
  if (switches.json) {
    console.log(JSON.stringify(rows));
    const exact = rows.find(({ reducers, codec, ratio }) => reducers === 0 && codec === "float32" && ratio);
    if (exact) console.log(JSON.stringify({ float32OverGloo: exact.ratio }));
  } else console.table(rows.map(({ runs: _, ...row }) => row));
  Deno.exit(0);
}

/**
 * The table of docs/scaling.md, from its formulas: how long one averaging takes, and which resource decides it.
 *
 *     deno run tests/bench/scaling.ts
 *
 * @module
 */

import { type Command, HELP_FLAG } from "../../src/cli/arguments.ts";
import { scriptArguments } from "../support/script.ts";

const SCALING: Command = {
  usage: [["deno run tests/bench/scaling.ts", "the table of docs/scaling.md"]],
  positional: [],
  short: {},
  flags: [HELP_FLAG],
};

/** Values of the vector: FLASH-pytorch's train.py model. */
const VALUES = 13_400_601;
/** Bytes on their way from all members together (`dist.windowBytes`). */
const WINDOW = 16 * 1024 * 1024;
/** Bytes of a part (`dist.partBytes`): the first has to arrive before the link back is used, and the last goes back alone. */
const PART = 512 * 1024;
/** Round trips of a step: assign and offer, pull, mean and acknowledgement, commit and status. */
const TRIPS = 4;

/** What a codec costs: bytes of a value, and seconds of processor time, measured without a slow network (docs/scaling.md). */
interface Cost {
  bytes: number;
  /** Of a worker: copying its gradient, encoding, sending, and taking the mean. */
  worker: number;
  /** Of the reducer for each sum that it pulls, decodes and adds. */
  sum: number;
  /** Of the reducer for a mean: dividing, encoding, its norm. */
  mean: number;
  /** Of the server for each vector that comes or goes. */
  vector: number;
}

const COSTS = {
  float32: { bytes: 4, worker: 0.128, sum: 0.049, mean: 0.021, vector: 0.03 },
  bfloat16: { bytes: 2, worker: 0.119, sum: 0.032, mean: 0.015, vector: 0.0165 },
  int8: { bytes: 1 + 4 / 256, worker: 0.13, sum: 0.017, mean: 0.039, vector: 0.0098 },
} satisfies Record<string, Cost>;

/** A way to run. */
interface Setting {
  codec: keyof typeof COSTS;
  workers: number;
  /** Bytes per second of each machine's link, in each direction. */
  link: number;
  /** Seconds there and back. */
  roundTrip: number;
  /** On machines of their own; with 1 it is the coordinator, on the server's machine. */
  reducers: number;
  /** Processors of the server's machine. */
  serverCores: number;
}

/** Seconds that each resource is busy for one averaging, all of them at the same time. */
function busy({ codec, workers, link, roundTrip, reducers, serverCores }: Setting): Record<string, number> {
  const { bytes, sum, mean, vector } = COSTS[codec];
  const size = bytes * VALUES;
  // The server gets N sums and a mean; it sends N means to the workers, and N sums to reducers on other machines.
  const leaving = reducers > 1 ? 2 * workers : workers;
  return {
    "worker's link": size / link,
    "reducer's link": reducers > 1 ? workers * size / (reducers * link) : 0,
    "server's link": leaving * size / link,
    "reducer's processor": (workers * sum + mean) / reducers,
    "server's processors": (3 * workers + 1) * vector / serverCores,
    "window": workers * size * roundTrip / WINDOW,
  };
}

/** Seconds in which no resource is busy all the time: round trips, and the first and the last part. */
function unused({ link, roundTrip }: Pick<Setting, "link" | "roundTrip">): number {
  return TRIPS * roundTrip + 2 * PART / link;
}

/** Seconds of one averaging, and what decides them. */
function averaging(setting: Setting): { seconds: number; wall: string } {
  const [[wall, longest]] = Object.entries(busy(setting)).toSorted(([, a], [, b]) => b - a);
  return { seconds: longest + unused(setting), wall };
}

/** Seconds where everything shares the processors of one machine, without a network. */
function onOneMachine(codec: keyof typeof COSTS, workers: number, cores: number): number {
  const { worker, sum, mean, vector } = COSTS[codec];
  return (workers * (worker + sum) + mean + (3 * workers + 1) * vector) / cores;
}

/** What the table compares; averages over `every` steps. */
const OPTIONS = [
  { name: "float32", codec: "float32", reducers: 1, every: 1 },
  { name: "bfloat16", codec: "bfloat16", reducers: 1, every: 1 },
  { name: "int8", codec: "int8", reducers: 1, every: 1 },
  { name: "int8, 8 reducers", codec: "int8", reducers: 8, every: 1 },
  { name: "int8, 20 local steps", codec: "int8", reducers: 1, every: 20 },
  { name: "int8, 20 local steps, 8 reducers", codec: "int8", reducers: 8, every: 20 },
] as const;
const WORKERS = [8, 100, 1000], GIGABITS = [1, 10, 100];
const MACHINES = { roundTrip: 0.001, serverCores: 16 };

/** Two digits. */
function short(seconds: number): string {
  return seconds >= 100 ? seconds.toFixed(0) : Number(seconds.toPrecision(2)).toString();
}

/** A line of a table. */
function line(cells: readonly (string | number)[]): string {
  return `| ${cells.join(" | ")} |`;
}

if (import.meta.main) {
  scriptArguments(SCALING);
  console.log(line(["option", "workers", ...GIGABITS.map((gigabits) => `${gigabits} Gbit/s`)]));
  console.log(line(["---", "---:", ...GIGABITS.map(() => "---")]));
  for (const { name, every, ...option } of OPTIONS) {
    for (const workers of WORKERS) {
      const cells = GIGABITS.map((gigabits) => {
        const { seconds, wall } = averaging({ ...option, ...MACHINES, workers, link: gigabits * 125e6 });
        return `${short(seconds / every)} ${wall}`;
      });
      console.log(line([name, workers.toLocaleString("en"), ...cells]));
    }
  }
  console.log(
    "\nThe model for what was measured: one machine with 2 and 6 workers, 4 workers over 100 Mbit/s and 40 ms",
  );
  const slow = { workers: 4, link: 12.5e6, roundTrip: 0.04, reducers: 1, serverCores: 2 };
  for (const codec of ["float32", "bfloat16", "int8"] as const) {
    const near = busy({ ...slow, codec })["worker's link"] + unused(slow); // the server's link is not slow
    console.log(line([codec, ...[onOneMachine(codec, 2, 2), onOneMachine(codec, 6, 2), near].map(short)]));
  }
}

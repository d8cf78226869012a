/**
 * The table of docs/scaling.md, from its formulas: how long one averaging takes, and which resource decides it.
 *
 *     deno run tests/bench/scaling.ts
 *
 * @module
 */

/** Values of the vector: FLASH-pytorch's train.py model. */
const VALUES = 13_400_601;
/** Seconds of a round trip, of which a step has five: assign, offer, pull, mean, commit. */
const ROUND_TRIP = 0.001, TRIPS = 5;

/** What a codec costs: bytes of a value, and milliseconds of processor time (docs/scaling.md says how they were measured). */
interface Cost {
  bytes: number;
  /** Of the reducer for each worker's vector that it pulls, decodes and adds. */
  perSum: number;
  /** Of the reducer for a mean: dividing, encoding, its norm. */
  perMean: number;
  /** Of the server for each vector that comes or goes. */
  perVector: number;
}

const COSTS = {
  float32: { bytes: 4, perSum: 45, perMean: 40, perVector: 26 },
  bfloat16: { bytes: 2, perSum: 35, perMean: 40, perVector: 14 },
  int8: { bytes: 1 + 4 / 256, perSum: 30, perMean: 50, perVector: 10 },
} satisfies Record<string, Cost>;

/** A way to run. */
export interface Setting {
  codec: keyof typeof COSTS;
  workers: number;
  /** Bytes per second of each machine's link, in each direction. */
  link: number;
  /** On machines of their own; with 1 it is the coordinator, on the server's machine. */
  reducers: number;
  /** Processors of the server's machine. */
  serverCores: number;
}

/** Seconds that each resource is busy for one averaging, all of them at the same time. */
export function busy({ codec, workers, link, reducers, serverCores }: Setting): Record<string, number> {
  const { bytes, perSum, perMean, perVector } = COSTS[codec];
  const vector = bytes * VALUES;
  const isApart = reducers > 1;
  // The server gets N sums and a mean; it sends N sums to the reducers and N means to the workers.
  const leaving = workers + (isApart ? workers : 0), passing = 3 * workers + 1;
  return {
    "a worker's link": vector / link,
    "a reducer's link": isApart ? workers * vector / (reducers * link) : 0,
    "the server's link": leaving * vector / link,
    "the reducer's processor": (workers * perSum + perMean) / (1000 * reducers),
    "the server's processors": passing * perVector / (1000 * serverCores),
  };
}

/** Seconds of one averaging, and what decides them. */
export function averaging(setting: Setting): { seconds: number; wall: string } {
  const [[wall, longest]] = Object.entries(busy(setting)).toSorted(([, a], [, b]) => b - a);
  return { seconds: longest + TRIPS * ROUND_TRIP, wall };
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
const WORKERS = [8, 32, 100, 320, 1000], GIGABITS = [1, 10, 100], SERVER_CORES = 16;

/** "0.0123" → "0.012". */
function short(seconds: number): string {
  return seconds >= 100 ? seconds.toFixed(0) : seconds.toPrecision(2);
}

if (import.meta.main) {
  console.log(`| option | workers | ${GIGABITS.map((gigabits) => `${gigabits} Gbit/s`).join(" | ")} |`);
  console.log(`| --- | ---: | ${GIGABITS.map(() => "---").join(" | ")} |`);
  for (const { name, every, ...option } of OPTIONS) {
    for (const workers of WORKERS) {
      const cells = GIGABITS.map((gigabits) => {
        const setting = { ...option, workers, link: gigabits * 125e6, serverCores: SERVER_CORES };
        const { seconds, wall } = averaging(setting);
        return `${short(seconds / every)} ${wall.replace(/^(a|the) /, "")}`;
      });
      console.log(`| ${name} | ${workers.toLocaleString("en")} | ${cells.join(" | ")} |`);
    }
  }
}

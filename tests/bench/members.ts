/**
 * What a coordinator's work costs as members become more: its real code, with members that only answer (`dist/support/crowd.ts`).
 *
 *     deno task bench:members [--members 16,64,256,1024] [--json]
 *
 * @module
 */

import { type Command, HELP_FLAG } from "../../src/cli/arguments.ts";
import { BLOCK } from "../../src/dist/vectors/sums.ts";
import { type CrowdOptions, runCrowd } from "../dist/support/crowd.ts";
import { scriptArguments } from "../support/script.ts";

const MEMBERS: Command = {
  usage: [["deno task bench:members [options]", "a coordinator's CPU time and memory by number of members"]],
  positional: [],
  short: {},
  flags: [
    { name: "members", value: "N,…", text: "Numbers of members. Default 16,64,256,1024." },
    { name: "json", text: "Print the result as JSON, and in a last line how both grow with the members." },
    HELP_FLAG,
  ],
};

/** Of a vector in float32. */
const PARTS = 16, PART_BYTES = 4 * BLOCK, WINDOW_BYTES = 4 * PART_BYTES;
/** Parts of all members in the steps that count, about. */
const WORK = 16_384;
/** Seconds in which nothing but heartbeats arrives. */
const QUIET_SECONDS = 2;

/** One line of the result. */
interface Row {
  members: number;
  straggles: boolean;
  /** CPU time per member and part, in µs. */
  cpu: number;
  /** CPU time per member and second in which only heartbeats arrive, in µs. */
  quiet: number;
  /** Most memory for vectors, in MiB. */
  held: number;
  /** As a multiple of the window and one part of each member. */
  overBound: number;
}

async function measure(members: number, straggles: boolean): Promise<Row> {
  const steps = Math.max(1, Math.round(WORK / members / PARTS));
  const common = { members, parts: PARTS, windowBytes: WINDOW_BYTES, straggles };
  const seconds = await runCrowd({
    ...common,
    warmUp: Math.ceil(steps / 4),
    steps: Math.ceil(steps / 4) + steps,
  });
  const quiet = { ...common, parts: 1, warmUp: 1, steps: 2 };
  const computing = await runCrowd({ ...quiet, computing: QUIET_SECONDS }) - await runCrowd(quiet);
  const held = await mostHeld({ ...common, warmUp: 0, steps: 1 });
  return {
    members,
    straggles,
    cpu: 1e6 * seconds / (members * PARTS * steps),
    quiet: 1e6 * computing / members / QUIET_SECONDS,
    held: held / 2 ** 20,
    overBound: held / (WINDOW_BYTES + members * PART_BYTES),
  };
}

/** Most bytes of vectors that live at once, as the garbage collector finds them. */
async function mostHeld(options: CrowdOptions): Promise<number> {
  const { gc } = globalThis as { gc?: () => void };
  if (!gc) throw new Error("memory is measured with --v8-flags=--expose-gc, as the task has it");
  const external = () => {
    gc();
    gc(); // memory that the first has found is given back by the second
    return Deno.memoryUsage().external;
  };
  external();
  let least = Infinity, most = 0;
  const look = () => {
    const held = external();
    least = Math.min(least, held);
    most = Math.max(most, held);
  };
  await runCrowd({ ...options, look });
  return most - least;
}

if (import.meta.main) {
  const { switches, texts } = scriptArguments(MEMBERS);
  const counts = (texts.members ?? "16,64,256,1024").split(",").map(Number);
  await measure(counts[0], false); // compiles the code
  const rows: Row[] = [];
  for (const members of counts) {
    for (const straggles of [false, true]) rows.push(await measure(members, straggles));
  }
  if (switches.json) {
    console.log(JSON.stringify(rows));
    const cpuAt = (members: number) => rows.find((row) => row.members === members)!.cpu;
    const cpuRatio = cpuAt(counts.at(-1)!) / cpuAt(counts[0]);
    console.log(JSON.stringify({ cpuRatio, heldOverBound: Math.max(...rows.map((row) => row.overBound)) }));
  } else console.table(rows);
  Deno.exit(0);
}

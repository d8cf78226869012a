/**
 * All benchmarks of a training step, each measurement in a process of its own, flashmob and FLASH-pytorch in turns: machines
 * drift, so only what alternates can be compared. Prints a table and one line of JSON: medians.
 *
 *     deno task bench [--rounds 3] [--compile] [--lengths]
 *
 * FLASHMOB_PEER_PYTHON names a Python with torch and FLASH-pytorch; without one flashmob is timed alone.
 *
 * @module
 */

import { type Command, HELP_FLAG, wholeFrom } from "../../src/cli/arguments.ts";
import { WORKER_ENVIRONMENT } from "../../src/tensorflow/memory.ts";
import { cacheFolder } from "../../src/packages/packages.ts";
import { processorName } from "../../src/tensorflow/machine.ts";
import { scriptArguments } from "../support/script.ts";

/** What it takes. */
export const BENCH: Command = {
  usage: [["deno task bench [options]", "a training step beside FLASH-pytorch's"]],
  positional: [],
  short: {},
  flags: [
    { name: "rounds", value: "N", text: "Measurements of each. Default 3.", number: wholeFrom(1) },
    { name: "compile", text: "Also with torch.compile, which takes minutes." },
    {
      name: "lengths",
      text: "Also 16,384 tokens in sequences of 1,024, 4,096 and 16,384, which takes 6 GB.",
    },
    HELP_FLAG,
  ],
};

/** What a script printed: numbers by name. */
type Found = Record<string, number>;

/** A script that prints one line of JSON, with its arguments. */
interface Measurement {
  name: string;
  command: string[];
  env?: Record<string, string>;
}

const here = new URL(".", import.meta.url).pathname;
const python = Deno.env.get("FLASHMOB_PEER_PYTHON");

/** One of our scripts, in the environment that workers have. */
function ours(name: string, script: string, args: string[], env: Record<string, string> = {}): Measurement {
  const command = [Deno.execPath(), "run", "--quiet", "-A", `${here}${script}`, "--json", ...args];
  return { name, command, env: { ...WORKER_ENVIRONMENT, ...env } };
}

/** One of the peer's, where there is a Python for it. */
function peers(name: string, script: string, args: string[]): Measurement[] {
  return python ? [{ name, command: [python, `${here}peer/${script}`, ...args] }] : [];
}

/** What it found, or nothing where it failed, as for want of memory: the others go on. */
async function measure({ name, command: [program, ...args], env }: Measurement): Promise<Found | undefined> {
  const { success, code, signal, stdout, stderr } = await new Deno.Command(program, { args, env }).output();
  if (success) return JSON.parse(new TextDecoder().decode(stdout).trim().split("\n").at(-1)!);
  console.error(`${name} failed: ${signal ?? `exit code ${code}`}\n${new TextDecoder().decode(stderr)}`);
}

/** Each measurement once a round; the medians of every number. */
async function alternate(measurements: Measurement[], rounds: number): Promise<Record<string, Found>> {
  const all = new Map<string, Found[]>(measurements.map(({ name }) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const measurement of measurements) {
      console.error(`round ${round + 1} of ${rounds}: ${measurement.name}`);
      const found = await measure(measurement);
      if (found) all.get(measurement.name)!.push(found);
    }
  }
  return Object.fromEntries([...all].map(([name, found]) => [name, medians(found)]));
}

function medians(found: Found[]): Found {
  if (found.length === 0) return {};
  const numbers = Object.keys(found[0]).filter((key) => typeof found[0][key] === "number");
  return Object.fromEntries(numbers.map((key) => {
    const sorted = found.map((one) => one[key]).sort((a, b) => a - b);
    return [key, sorted[sorted.length >> 1]];
  }));
}

/** Batch and sequence length of 16,384 tokens. */
const SHAPES = [[16, 1024], [4, 4096], [1, 16384]] as const;

function atShape([batch, seq]: (typeof SHAPES)[number]): Measurement[] {
  const args = ["--batch", String(batch), "--seq", String(seq), "--steps", "2"];
  const name = `${batch} × ${seq}`;
  return [
    ours(`flashmob, ${name}`, "step.ts", args),
    ...peers(`FLASH-pytorch, ${name}`, "bench_step.py", args),
  ];
}

/** A cache with the machine's packages and no compiled code. */
async function coldCache(): Promise<string> {
  const folder = await Deno.makeTempDir({ prefix: "flashmob-bench-" });
  await Deno.symlink(`${cacheFolder()}/packages`, `${folder}/packages`);
  return folder;
}

if (import.meta.main) {
  const { switches: args, numbers: { rounds = 3 } } = scriptArguments(BENCH);
  const cold = await coldCache();
  const atBatch4 = ["--batch", "4", "--steps", "4"];
  await measure(ours("fills the cache", "step.ts", ["--steps", "1"])); // so that all but the cold one start warm
  const results = {
    ...await alternate([ours("flashmob, cold", "step.ts", ["--steps", "1"], { FLASHMOB_CACHE: cold })], 1),
    ...await alternate([
      ours("flashmob", "step.ts", []),
      ...peers("FLASH-pytorch", "bench_step.py", []),
      ...(args.compile ? peers("FLASH-pytorch, torch.compile", "bench_step.py", ["--compile"]) : []),
      ours("products", "products.ts", []),
      ...peers("products, torch.mm", "bench_products.py", []),
    ], rounds),
    ...await alternate([
      ours("flashmob, batch 4", "step.ts", atBatch4),
      ...peers("FLASH-pytorch, batch 4", "bench_step.py", atBatch4),
      ...(args.compile
        ? peers("FLASH-pytorch, torch.compile, batch 4", "bench_step.py", [...atBatch4, "--compile"])
        : []),
    ], rounds),
    ...(args.lengths ? await alternate(SHAPES.flatMap(atShape), 1) : {}),
  };
  await Deno.remove(cold, { recursive: true });
  console.table(results, [
    ...[
      "tokens_per_second",
      "first_step_s",
      "step_ms",
      "products_ms",
      "peak_mb",
      "wait_p99_ms",
      "wait_max_ms",
    ],
  ]);
  const machine = {
    processor: processorName(),
    cores: navigator.hardwareConcurrency,
    date: new Date().toISOString(),
  };
  console.log(JSON.stringify({ machine, rounds, results }));
}

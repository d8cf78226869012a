/**
 * All tests, and all examples in the documentation: `deno task test`. Most whole runs wait for their own clocks (heartbeats, deadlines,
 * restarts) and leave the processor idle, so some batches of files run side by side: each in a process of its own, since tests kill
 * the servers and workers "of this process". With arguments it is one `deno test` with these.
 *
 * @module
 */

/** Batches at the same time: more would compete for two cores, and tests with deadlines with them. */
const LANES = 2;
/** Most files of a batch, all of one folder: a process takes a second to start. */
const BATCH = 5;
/** Folders of whole runs, which take longest and so begin first. */
const LONG = ["tests/run", "tests/dist"];
/** Seconds after which a batch has hung: the longest takes two minutes, and several where much else is done. */
const LONGEST = 1800;

/** What a batch printed, and how it ended. */
export interface BatchResult {
  args: readonly string[];
  code: number;
  output: string;
}

/** The arguments of each batch: all test files below a folder, and the examples of these files and folders. */
export function batchesOf(folder: string, documented: readonly string[]): string[][] {
  const byFolder = new Map<string, string[]>();
  const look = (folder: string) => {
    for (const { name, isDirectory } of [...Deno.readDirSync(folder)].sort(byName)) {
      const path = `${folder}/${name}`;
      if (isDirectory) look(path);
      else if (name.endsWith("_test.ts")) byFolder.set(folder, [...byFolder.get(folder) ?? [], path]);
    }
  };
  look(folder);
  const folders = [...byFolder.keys()].sort((a, b) => Number(LONG.includes(b)) - Number(LONG.includes(a)));
  const batches = folders.flatMap((folder) => inChunks(byFolder.get(folder)!));
  return documented.length > 0 ? [...batches, ["--doc", ...documented]] : batches;
}

/** The last line of all, like that of a single `deno test`, which `.ci/run` reads. */
export function summaryOf(results: readonly BatchResult[], seconds: number): string {
  let passed = 0, failed = 0;
  for (const { code, output } of results) {
    const [, ok, bad] = /^(?:ok|FAILED) \| (\d+) passed.*? \| (\d+) failed/m.exec(output) ?? [];
    passed += Number(ok ?? 0);
    failed += code === 0 ? 0 : Math.max(1, Number(bad ?? 0)); // one that ended without a summary has failed, too
  }
  return `${failed > 0 ? "FAILED" : "ok"} | ${passed} passed | ${failed} failed (${Math.round(seconds)}s)`;
}

/** Runs `deno test` with these arguments; one that hangs is killed. */
async function runBatch(args: readonly string[]): Promise<BatchResult> {
  const signal = AbortSignal.timeout(1000 * LONGEST);
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["test", "-P", ...args],
    env: { NO_COLOR: "1" },
    signal,
  }).output();
  const decoder = new TextDecoder();
  const late = signal.aborted ? `ended after ${LONGEST} s, in which it had not finished\n` : "";
  return {
    args,
    code: code || Number(signal.aborted),
    output: decoder.decode(stdout) + decoder.decode(stderr) + late,
  };
}

/** Runs all batches, prints each when it has ended, and returns whether all have passed. */
export async function runBatches(
  batches: readonly string[][],
  print: (text: string) => void,
): Promise<boolean> {
  const begun = performance.now();
  const results: BatchResult[] = [];
  const next = batches.values();
  const lane = async () => {
    for (const args of next) {
      const result = await runBatch(args);
      results.push(result);
      print(result.output);
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  const failed = results.filter(({ code }) => code !== 0);
  for (const { args } of failed) print(`failed: deno test -P ${args.join(" ")}\n`);
  print(`\n${summaryOf(results, (performance.now() - begun) / 1000)}\n`);
  return failed.length === 0;
}

function inChunks(files: readonly string[]): string[][] {
  const chunks = Array.from({ length: Math.ceil(files.length / BATCH) }, (_, i) => i * BATCH);
  return chunks.map((from) => files.slice(from, from + BATCH));
}

function byName(a: Deno.DirEntry, b: Deno.DirEntry): number {
  return a.name < b.name ? -1 : 1;
}

if (import.meta.main) {
  if (Deno.args.length > 0) {
    const { code } = await new Deno.Command(Deno.execPath(), { args: ["test", "-P", ...Deno.args] }).spawn()
      .status;
    Deno.exit(code);
  }
  const batches = batchesOf("tests", ["README.md", "mod.ts", "src", "tools"]);
  const write = (text: string) => Deno.stdout.writeSync(new TextEncoder().encode(text));
  Deno.exit(await runBatches(batches, write) ? 0 : 1);
}

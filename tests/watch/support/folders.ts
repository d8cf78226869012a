/** Folders of runs for tests of who looks at them. */

import { fileURLToPath } from "node:url";
import { stringifyJson } from "../../../src/json.ts";

/** A run of flashmob 0.1, with its folder's own name "run". */
export const OLD_RUN = fileURLToPath(new URL("../../fixtures/run-0.1/run", import.meta.url));

/** A folder for runs, removed after the test. */
export class RunsFolder implements AsyncDisposable {
  private constructor(readonly path: string) {}

  static async open(): Promise<RunsFolder> {
    return new RunsFolder(await Deno.makeTempDir({ prefix: "flashmob-test-" }));
  }

  /** Makes a run of so many steps. */
  async add(
    name: string,
    { steps = 0, config = {} }: { steps?: number; config?: object } = {},
  ): Promise<MadeRun> {
    const path = `${this.path}/${name}`;
    await Deno.mkdir(path, { recursive: true });
    await Deno.writeTextFile(`${path}/config.yaml`, JSON.stringify({ train: { steps: 100 }, ...config }));
    await Deno.writeTextFile(`${path}/metrics.jsonl`, "");
    const run = new MadeRun(path);
    await run.append("metrics.jsonl", ...Array.from({ length: steps }, (_, i) => stepLine(i + 1)));
    return run;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.path, { recursive: true });
  }
}

/** A run's folder. */
export class MadeRun {
  constructor(readonly path: string) {}

  /** Adds lines to a file of it. */
  async append(file: string, ...lines: object[]): Promise<void> {
    await this.write(file, lines.map((line) => stringifyJson(line) + "\n").join(""), { append: true });
  }

  /** At once, so that who looks from this process sees all of it or nothing. */
  async write(file: string, text: string, options?: Deno.WriteFileOptions): Promise<void> {
    await Promise.resolve(Deno.writeTextFileSync(`${this.path}/${file}`, text, options));
  }

  /** Replaces metrics.jsonl as a resume after `step` does. */
  async discardAfter(step: number): Promise<void> {
    const lines = (await Deno.readTextFile(`${this.path}/metrics.jsonl`)).trim().split("\n");
    const kept = lines.filter((line) => JSON.parse(line).step <= step);
    await this.write("metrics.jsonl.tmp", kept.map((line) => line + "\n").join(""));
    await Deno.rename(`${this.path}/metrics.jsonl.tmp`, `${this.path}/metrics.jsonl`);
  }
}

/** A line of metrics.jsonl; 10 steps of 100 tokens take a second. */
export function stepLine(step: number, changes: object = {}): object {
  return {
    ...{ step, loss: 2 + 1 / step, tokens: 100, gradNorm: 0.5, applied: true, workers: 2, generation: 1 },
    ...{ at: timeAt(step / 10), bytesSent: 1000, bytesReceived: 500, tokensPerSecond: 1000, lr: 1e-3 },
    ...{ elapsed: step / 10, ...changes },
  };
}

/** A line of members.jsonl: each member's seconds. */
export function membersLine(step: number, members: Record<string, object>): object {
  const rest = {
    device: "cpu",
    range: [0, 4],
    bytesSent: 1e6,
    bytesReceived: 2e6,
    memory: 5e8,
    heardAgo: 0.1,
  };
  const full = Object.entries(members).map(([name, times]) => [name, { ...rest, ...times }]);
  return { at: timeAt(step / 10), step, seconds: 10, members: Object.fromEntries(full) };
}

/** So many seconds after the runs of these tests began. */
export function timeAt(seconds: number): string {
  return new Date(Date.UTC(2026, 0, 1) + seconds * 1000).toISOString();
}

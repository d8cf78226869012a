/**
 * A process that owns a segment of shared memory and does what it is told.
 *
 * @module
 */

import { createInterface } from "node:readline";
import { stdin } from "node:process";
import { fileURLToPath } from "node:url";
import type { SegmentAddress } from "../../../src/dist/memory/header.ts";
import { Segment } from "../../../src/dist/memory/segment.ts";

/** What an owner can be told. It answers each, what returns nothing with null. */
export interface OwnersCalls {
  renew(buffer: number): number;
  /** Sets values of the contents, as float32. */
  fill(value: number, from: number, to: number): null;
  /** Writes each round's number to the first values, as the first buffer, then renews the second, with a pause after each. */
  storm(rounds: number, count: number): null;
  close(): null;
}

/** An owner in a process of its own; disposing of it kills it. */
export class SegmentOwner implements AsyncDisposable {
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #output: AsyncIterator<string>;

  private constructor(
    readonly process: Deno.ChildProcess & { stdout: ReadableStream<Uint8Array<ArrayBuffer>> },
  ) {
    this.#input = process.stdin.getWriter();
    this.#output = linesOf(process.stdout);
  }

  /** Starts one. */
  static async start(bytes: number): Promise<{ owner: SegmentOwner; address: SegmentAddress }> {
    const script = fileURLToPath(import.meta.url);
    const process = new Deno.Command(Deno.execPath(), {
      args: ["run", "--quiet", "--no-config", "--allow-ffi", script, String(bytes)],
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    const owner = new SegmentOwner(process);
    return { owner, address: await owner.answer() as SegmentAddress };
  }

  /** Tells it something without waiting for its answer. */
  async tell<Name extends keyof OwnersCalls>(
    name: Name,
    ...args: Parameters<OwnersCalls[Name]>
  ): Promise<void> {
    await this.#input.write(new TextEncoder().encode(`${JSON.stringify([name, ...args])}\n`));
  }

  /** Its next answer. */
  async answer(): Promise<unknown> {
    const { value, done } = await this.#output.next();
    if (done) throw new Error("the owner of the segment has ended");
    return JSON.parse(value);
  }

  /** Tells it something; returns its answer. */
  async call<Name extends keyof OwnersCalls>(
    name: Name,
    ...args: Parameters<OwnersCalls[Name]>
  ): Promise<ReturnType<OwnersCalls[Name]>> {
    await this.tell(name, ...args);
    return await this.answer() as ReturnType<OwnersCalls[Name]>;
  }

  /** Kills it, and waits for its end. */
  async kill(): Promise<void> {
    this.process.kill("SIGKILL");
    await this.process.status;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.kill();
    } catch { /* it has ended */ }
    await this.#input.abort().catch(() => {});
    while (!(await this.#output.next()).done);
  }
}

async function* linesOf(stream: ReadableStream<Uint8Array<ArrayBuffer>>): AsyncGenerator<string> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    yield* lines;
  }
}

if (import.meta.main) {
  const say = (value: unknown) => console.log(JSON.stringify(value ?? null));
  const segment = await Segment.create(Number(Deno.args[0]));
  if ("refused" in segment) throw new Error(segment.refused);
  say(segment.address);
  const calls: { [Name in keyof OwnersCalls]: (...args: Parameters<OwnersCalls[Name]>) => unknown } = {
    renew: (buffer) => segment.renew(buffer),
    fill: (value, from, to) => segment.floats.fill(value, from, to),
    storm: (rounds, count) => {
      const floats = segment.floats.subarray(0, count);
      for (let round = 1; round <= rounds; round++) {
        segment.renew(0);
        floats.fill(round);
        segment.renew(1);
        for (const end = performance.now() + 0.2; performance.now() < end;);
      }
    },
    close: () => segment.close(),
  };
  for await (const line of createInterface({ input: stdin })) {
    const [name, ...args] = JSON.parse(line);
    const result = (calls as Record<string, (...args: unknown[]) => unknown>)[name](...args);
    say(name === "renew" ? result : null);
  }
}

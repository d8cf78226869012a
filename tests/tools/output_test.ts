import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import { Output, type OutputError } from "../../tools/output.ts";

/** An output over a stream whose writes take as many of the bytes as it says, or throw. */
function outputOf(take: (bytes: Uint8Array) => number | Promise<number>) {
  let text = "", tries = 0;
  const stream = {
    async write(bytes: Uint8Array): Promise<number> {
      tries++;
      const taken = Math.min(bytes.length, await take(bytes));
      text += new TextDecoder().decode(bytes.subarray(0, taken));
      return taken;
    },
  };
  const losses: OutputError[] = [];
  const output = new Output(stream, "it");
  output.onLoss = (loss) => losses.push(loss);
  return { output, losses, text: () => text, tries: () => tries };
}

/** Takes `some` bytes at a time, after throwing what `errors` has for that try. */
const taking = (some: number, errors: (Error | undefined)[] = []) =>
  outputOf(() => {
    const error = errors.shift();
    if (error) throw error;
    return some;
  });

Deno.test("short writes are continued, texts stay whole and in order", async () => {
  const { output, text, losses } = taking(3);
  output.show("one, two\n");
  const printed = output.print("three\n");
  output.show("four\n");
  assert.equal(output.isIdle, false);
  await printed;
  assert.equal(text(), "one, two\nthree\n");
  await output.written();
  assert.deepEqual([text(), losses, output.isIdle], ["one, two\nthree\nfour\n", [], true]);
});

Deno.test("a stream that is not ready is tried again", async () => {
  const errors = [new Deno.errors.WouldBlock("busy"), undefined, new Deno.errors.Interrupted("signal")];
  const { output, text, tries, losses } = taking(4, errors);
  await output.print("one, two");
  assert.deepEqual([text(), tries(), losses], ["one, two", 4, []]);
});

Deno.test("what can't be written is told once for each reason, and lost; print says it to its caller", async () => {
  let error: Error | undefined = new Error("Input/output error (os error 5)");
  const { output, text, losses } = outputOf((bytes) => {
    if (error) throw error;
    return bytes.length;
  });
  for (let i = 0; i < 3; i++) output.show("one\n");
  await assert.rejects(output.print("two\n"), /^OutputError: it can't be written: Input\/output error/);
  error = new Deno.errors.BrokenPipe("Broken pipe");
  output.show("three\n");
  output.show("four\n");
  await output.written();
  assert.deepEqual(losses.map(({ isClosed }) => isClosed), [false, true]);
  error = undefined; // the disk has room again
  output.show("five\n");
  await output.written();
  assert.equal(text(), "five\n");
});

Deno.test("a line that was half written is ended before the next one", async () => {
  const full = new Error("No space left on device");
  const { output, text } = taking(4, [undefined, full]);
  output.show('{"step":1}\n');
  output.show("{}\n");
  output.show("[]\n");
  await output.written();
  assert.equal(text(), '{"st\n{}\n[]\n');
});

Deno.test("a reader that is stuck costs no time and little memory, and gets whole lines when it reads again", async () => {
  const reads = Promise.withResolvers<void>();
  const { output, text, losses } = outputOf((bytes) => reads.promise.then(() => bytes.length));
  const line = "x".repeat(99) + "\n";
  for (let i = 0; i < 50_000; i++) output.show(line);
  const before = Date.now();
  await output.flush(100);
  assert.ok(Date.now() - before < 1000, "it waits no longer than it was told to");
  const printed = output.print("asked for\n"); // is never left out
  reads.resolve();
  await printed;
  const lines = text().split("\n");
  assert.ok(lines.length > 10_000 && lines.length < 11_000, `${lines.length} of 50,000 lines`);
  assert.ok(lines.slice(0, -2).every((some) => some === line.trimEnd()));
  assert.deepEqual(lines.slice(-2), ["asked for", ""]);
  assert.match(losses.map(String).join(), /^OutputError: it is read too slowly, and lines are left out$/);
});

Deno.test("a reader that is slow, but reads, is waited for", async () => {
  const { output, text } = outputOf(() => pause(20, 5));
  for (let i = 0; i < 20; i++) output.show("0123456789");
  await output.flush(500); // 800 ms in all
  assert.equal(text().length, 200);
});

import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import { until } from "../run/support/runs.ts";

/** Hears signals; its thread is busy for a while after the first. */
const SCRIPT = `
import { onEndingSignal } from "${new URL("../../tools/signals.ts", import.meta.url)}";
const busy = () => { for (const end = Date.now() + 1500; Date.now() < end;); };
onEndingSignal(() => { busy(); console.log("first"); }, () => { console.log("again"); Deno.exit(0); });
console.log("ready");
setInterval(() => {}, 1000);`;

Deno.test("a second signal counts from a second after the first, however busy the thread was when it came", async () => {
  const args = ["eval", "--no-check", SCRIPT];
  const process = new Deno.Command(Deno.execPath(), { args, stdout: "piped" }).spawn();
  let said = "";
  const heard = process.stdout.pipeThrough(new TextDecoderStream())
    .pipeTo(new WritableStream({ write: (text) => void (said += text) }));
  await until("it listens", () => said.includes("ready"));
  process.kill("SIGTERM");
  await pause(200); // the first is being heard
  process.kill("SIGHUP");
  process.kill("SIGINT");
  await until("the thread is free", () => said.includes("first"));
  await pause(1000);
  assert.equal(said, "ready\nfirst\n");
  process.kill("SIGTERM");
  assert.equal((await process.status).code, 0);
  await heard;
  assert.equal(said, "ready\nfirst\nagain\n");
});

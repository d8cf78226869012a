/**
 * The signals that ask a process to end.
 *
 * @module
 */

const SIGHUP = 1;

/**
 * Listens for the signals that ask this process to end: Ctrl-C, SIGTERM, and SIGHUP, which comes when the terminal or the connection is
 * closed. Under `nohup` SIGHUP stays ignored, as it was when the process started. SIGINT does not: scripts start what they put
 * in the background so, and `kill -INT` is meant all the same.
 *
 * @param first called at the first of them
 * @param again called at each one that comes a second later or more. `deno task` passes on what it gets: one that is sent to all
 *   processes arrives twice within milliseconds, and counts once
 */
export function onEndingSignal(first: () => void, again: () => void = () => {}): void {
  let state: "running" | "ending" | "impatient" = "running";
  const handle = () => {
    if (state === "impatient") again();
    if (state !== "running") return;
    state = "ending";
    // Two timers: what came while the thread was busy, before the first could fire, is handled before the second does.
    setTimeout(() => setTimeout(() => state = "impatient", 100), 900);
    first();
  };
  // With the first listener of any signal Deno takes SIGHUP, too, and would end at it: what is to be ignored needs a listener.
  const isUnderNohup = isIgnored(SIGHUP);
  Deno.addSignalListener("SIGINT", handle);
  Deno.addSignalListener("SIGTERM", handle);
  Deno.addSignalListener("SIGHUP", isUnderNohup ? () => {} : handle);
}

/** Whether this process ignores a signal. Deno reads files in /proc only with all permissions, `grep` does. */
function isIgnored(signal: number): boolean {
  try {
    const args = ["SigIgn", `/proc/${Deno.pid}/status`];
    const { stdout } = new Deno.Command("grep", { args, stderr: "null" }).outputSync();
    const mask = new TextDecoder().decode(stdout).match(/[0-9a-f]{16}/)?.[0] ?? "0";
    return (BigInt(`0x${mask}`) >> BigInt(signal - 1) & 1n) === 1n;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

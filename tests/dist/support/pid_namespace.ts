/**
 * Processes in a PID namespace of their own, as in a container: they have no numbers of others, and others not theirs.
 *
 * @module
 */

/** Begins one, with its own /proc, and runs a command there. */
export const UNSHARE: readonly string[] = [
  "unshare",
  "--map-root-user",
  "--pid",
  "--fork",
  "--kill-child",
  "--mount-proc",
];

/** Whether this machine lets users make one. */
export function canUnshare(): boolean {
  try {
    return new Deno.Command(UNSHARE[0], { args: [...UNSHARE.slice(1), "true"], stderr: "null" }).outputSync()
      .success;
  } catch {
    return false;
  }
}

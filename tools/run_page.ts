/**
 * The page of a run that this process trains or coordinates: served on loopback while the run goes on, and never in its way.
 *
 * @module
 */

import { openDashboard } from "../src/dashboard/server.ts";
import { errorMessage } from "../src/errors.ts";
import { say } from "./output.ts";

/**
 * Serves the page where it is wanted: by default where a person watches, on a terminal.
 *
 * @param order `dashboard` as the command line has it
 * @param folder the run's, which need not be there yet
 * @returns its address
 */
export function openRunPage(
  { dashboard, json }: { dashboard?: boolean; json: boolean },
  folder: string,
): string | undefined {
  if (!(dashboard ?? (Deno.stdout.isTerminal() && !json))) return;
  try {
    return openDashboard(folder, { hostname: "127.0.0.1", port: 0 }).url;
  } catch (error) {
    say(`${errorMessage(error)}; the run does without`);
  }
}

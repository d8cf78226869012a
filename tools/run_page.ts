/**
 * The page of a run that this process trains or coordinates: served on loopback while the run goes on, and never in its way.
 *
 * @module
 */

import { openDashboard } from "../src/dashboard/server.ts";
import { errorMessage } from "../src/errors.ts";

/**
 * Serves the page where it is wanted: by default where a person watches, on a terminal.
 *
 * @param order `dashboard` as the command line has it
 * @param folder the run's, which need not be there yet
 * @param say gets the address, or why there is none
 */
export function openRunPage(
  { dashboard, json }: { dashboard?: boolean; json: boolean },
  folder: string,
  say: (text: string) => void,
): void {
  if (!(dashboard ?? (Deno.stdout.isTerminal() && !json))) return;
  try {
    const { url } = openDashboard(folder, { hostname: "127.0.0.1", port: 0 });
    say(`watch this run at ${url}`);
  } catch (error) {
    say(`${errorMessage(error)}; the run does without`);
  }
}

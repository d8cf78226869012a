/**
 * Status lines that workers and reducers share.
 *
 * @module
 */

/** What a worker or a reducer says that hears nothing of its coordinator. */
export const ALONE = "has lost the coordinator, and waits for it to come back or for another one";

/** Whether the NATS server can be reached. */
export function connectionText({ isCutOff }: { isCutOff: boolean }): string {
  return isCutOff ? "waits for the NATS server to be there again" : "is connected to the NATS server again";
}

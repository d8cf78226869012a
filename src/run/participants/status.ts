/**
 * Status lines that workers and reducers share.
 *
 * @module
 */

/** Of a worker or a reducer that gets no message from its coordinator. */
export const NO_COORDINATOR = "has lost the coordinator, and waits for it or another one";

/** Whether the NATS server can be reached. */
export function connectionText({ isCutOff }: { isCutOff: boolean }): string {
  return isCutOff ? "has lost the NATS server, and waits for it" : "has reconnected to the NATS server";
}

/** Why a process sends what it could share. */
export function byMessagesText({ reason }: { reason: string }): string {
  return `sends its vectors to the processes of this machine: ${reason}`;
}

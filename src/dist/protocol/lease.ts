/**
 * The right to coordinate a run: whoever takes it takes it from the one before. `nats/lease.ts` keeps it on the NATS
 * server, the tests have one in memory.
 *
 * @module
 */

/** A lease that was taken. */
export interface Lease {
  /** Number of the previous lease; 0 where there was none. It rises with every new one. */
  readonly revision: number;
  /**
   * Whether no other process has taken it since.
   *
   * @throws where the store does not answer
   */
  isHeld(): Promise<boolean>;
}

/**
 * Takes the lease.
 *
 * @returns undefined where the server can't keep one
 * @throws {RunError} where another coordinator takes it at the same moment
 */
export type TakeLease = () => Promise<Lease | undefined>;

/**
 * Kills workers of a run in a stage of a step, and measures from outside how long it takes until others are given their work.
 *
 * @module
 */

import { decodeMessage, type Received } from "../../src/dist/protocol/messages.ts";
import { subjects, type Transport } from "../../src/dist/protocol/transport.ts";

/** Where in a step a worker is killed: it has its order, its sum is pulled, the step is committed. */
export const STAGES = ["computing", "uploading", "between steps"] as const;
/** One of them. */
export type KillStage = typeof STAGES[number];

/** Seconds after which a kill counts as unnoticed. */
const UNNOTICED = 60;

/** An eye on the orders of a run, on a connection of its own. */
export class OrderWatch {
  /** When each step was committed, in milliseconds. */
  readonly committedAt = new Map<number, number>();
  /** How many members the last step was given to. */
  members = 0;
  readonly #watchers = new Set<(frame: Received) => void>();

  /** Looks at the orders to all members from now on. */
  constructor(readonly transport: Transport, readonly run: string) {
    transport.subscribe(subjects.all(run), ({ data }) => this.#see(data));
    this.next((frame) => {
      if (frame.kind === "assign") this.members = Object.keys(frame.message.ranges).length;
      if (frame.kind === "commit" && !this.committedAt.has(frame.step)) {
        this.committedAt.set(frame.step, performance.now());
      }
      return false;
    });
  }

  /** The last step that was committed; 0 for none. */
  get step(): number {
    return Math.max(0, ...this.committedAt.keys());
  }

  /** Resolves with the time of the first order for which this holds, in milliseconds. */
  next(holds: (frame: Received) => boolean): Promise<number> {
    const { promise, resolve } = Promise.withResolvers<number>();
    const look = (frame: Received) => {
      if (!holds(frame)) return;
      this.#watchers.delete(look);
      resolve(performance.now());
    };
    this.#watchers.add(look);
    return promise;
  }

  /**
   * Kills a worker when it comes to this stage.
   *
   * @returns seconds from the kill to the first order that does not name it any more
   */
  async kill(member: string, stage: KillStage, kill: () => void): Promise<number> {
    const unsubscribe = this.transport.subscribe(
      subjects.to(this.run, member),
      ({ data }) => this.#see(data),
    );
    const hasWork = (frame: Received) =>
      frame.kind === "assign" && (frame.message.ranges[member]?.length ?? 0) > 0;
    let killedAt: number | undefined;
    const given = this.next((frame) => killedAt !== undefined && frame.kind === "assign" && !hasWork(frame));
    await this.next((frame) => {
      const isDue = stage === "computing"
        ? hasWork(frame)
        : frame.kind === (stage === "uploading" ? "pull" : "commit");
      if (!isDue) return false;
      killedAt = performance.now();
      kill(); // here, before anything else can happen
      return true;
    });
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(
      () => late.reject(new Error(`${member} was killed, and nobody got its work within ${UNNOTICED} s`)),
      1000 * UNNOTICED,
    );
    const givenAt = await Promise.race([given, late.promise]);
    clearTimeout(timer);
    unsubscribe();
    return (givenAt - killedAt!) / 1000;
  }

  #see(data: Uint8Array): void {
    const frame = decodeMessage(data, this.run);
    if ("refused" in frame) return;
    for (const look of [...this.#watchers]) look(frame);
  }
}

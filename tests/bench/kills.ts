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
  /** The last step that was given to members, and to which. */
  #given = { step: 0, members: new Set<string>() };
  readonly #watchers = new Set<(frame: Received, subject: string) => void>();

  /** Looks at the orders to members from now on. */
  constructor(readonly transport: Transport, readonly run: string) {
    for (const subject of [subjects.all(run), subjects.to(run, "*")]) {
      transport.subscribe(subject, ({ data, subject }) => this.#see(data, subject));
    }
    this.next((frame, subject) => {
      if (frame.kind === "assign") {
        if (frame.step !== this.#given.step) this.#given = { step: frame.step, members: new Set() };
        this.#given.members.add(subject);
      }
      if (frame.kind === "commit" && !this.committedAt.has(frame.step)) {
        this.committedAt.set(frame.step, performance.now());
      }
      return false;
    });
  }

  /** How many members the last step was given to. */
  get members(): number {
    return this.#given.members.size;
  }

  /** The last step that was committed; 0 for none. */
  get step(): number {
    return Math.max(0, ...this.committedAt.keys());
  }

  /** Resolves with the time of the first order for which this holds, in milliseconds. */
  next(holds: (frame: Received, subject: string) => boolean): Promise<number> {
    const { promise, resolve } = Promise.withResolvers<number>();
    const look = (frame: Received, subject: string) => {
      if (!holds(frame, subject)) return;
      this.#watchers.delete(look);
      resolve(performance.now());
    };
    this.#watchers.add(look);
    return promise;
  }

  /**
   * Kills a worker when it comes to this stage.
   *
   * @returns seconds from the kill to the first order of a generation without it
   */
  async kill(member: string, stage: KillStage, kill: () => void): Promise<number> {
    const own = subjects.to(this.run, member);
    let killedAt: number | undefined, generation = Infinity;
    const given = this.next((frame, subject) =>
      frame.kind === "assign" && subject !== own && frame.generation > generation
    );
    await this.next((frame, subject) => {
      const isDue = stage === "computing"
        ? frame.kind === "assign" && subject === own && frame.message.ranges.length > 0
        : stage === "uploading"
        ? frame.kind === "pull" && subject === own
        : frame.kind === "commit";
      if (!isDue) return false;
      generation = frame.generation;
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
    return (givenAt - killedAt!) / 1000;
  }

  #see(data: Uint8Array, subject: string): void {
    const frame = decodeMessage(data, this.run);
    if ("refused" in frame) return;
    for (const look of [...this.#watchers]) look(frame, subject);
  }
}

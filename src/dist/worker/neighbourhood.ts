/**
 * What a worker shares with the processes of its machine: memory for its sums, and the subject on which means are referred to. A
 * worker that shares none hears means as bytes, on another subject.
 *
 * @module
 */

import { SharedSums } from "../allreduce/shared_sums.ts";
import type { SegmentAddress } from "../memory/header.ts";
import { type Message, subjects, type Transport } from "../protocol/transport.ts";
import type { ServeWorkerOptions } from "./options.ts";

/** The neighbourhood of one worker. */
export class Neighbourhood implements Disposable {
  #memory?: SharedSums;
  #hasLeft = false;
  #unsubscribe = () => {};

  private constructor(readonly options: ServeWorkerOptions) {}

  /** Takes memory for sums of this many values. Where it can't be had, or is not wanted, there is no neighbourhood. */
  static async open(size: number, options: ServeWorkerOptions): Promise<Neighbourhood> {
    const neighbourhood = new Neighbourhood(options);
    if (options.sharesMemory === false) return neighbourhood;
    const memory = await SharedSums.create(size);
    if ("refused" in memory) options.onEvent?.({ kind: "by messages", reason: memory.refused });
    else neighbourhood.#memory = memory;
    return neighbourhood;
  }

  /** By which a coordinator finds out whether it is on this machine; undefined where nothing is shared. */
  get address(): SegmentAddress | undefined {
    return this.#hasLeft ? undefined : this.#memory?.address;
  }

  /** Memory for sums. */
  get sums(): SharedSums | undefined {
    return this.#memory;
  }

  /** The first coordinator has answered. What it can't open is given back. */
  settle(isNear: boolean): void {
    if (isNear) return;
    this.#memory?.[Symbol.dispose]();
    this.#memory = undefined;
  }

  /** Hears means as a coordinator sends them to its neighbours, or to others, and no longer the other way. */
  hear(transport: Transport, isNear: boolean, receive: (message: Message) => void): void {
    const { run } = this.options;
    this.#unsubscribe();
    this.#unsubscribe = transport.subscribe(isNear ? subjects.near(run) : subjects.far(run), receive);
  }

  /** A neighbour's memory can't be opened after all: from the next join on nothing is shared. */
  leave(reason: string): void {
    if (!this.#hasLeft) this.options.onEvent?.({ kind: "by messages", reason });
    this.#hasLeft = true;
  }

  /** Hears nothing more, and gives the memory back. */
  [Symbol.dispose](): void {
    this.#unsubscribe();
    this.#memory?.[Symbol.dispose]();
  }
}

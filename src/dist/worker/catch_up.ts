/**
 * How a candidate gets the state of the run: it carries out the order to get it from a member by state transfer, and answers the
 * order again when it is repeated.
 *
 * @module
 */

import { Neighbours } from "../memory/neighbours.ts";
import { donorOver } from "../transfer/donor_requests.ts";
import { encodeControl, type ReceivedOf } from "../protocol/messages.ts";
import { isSoundManifest } from "../protocol/order_checks.ts";
import type { Reporter } from "./reporter.ts";
import type { StepExecutor } from "./step_executor.ts";

/** An order to get a state from a donor. */
type Order = ReceivedOf<"takeover">;

/** Carries out orders for a state transfer. A later order ends an earlier one, whose donor is lost or whose state is too old. */
export class CatchUp {
  #key = "";
  /** The answer to an order that was carried out. */
  #restored: { key: string; frame: Uint8Array } | undefined;

  /**
   * Nothing is ordered yet.
   *
   * @param patienceSeconds how long a donor may take for an answer before it is asked again
   */
  constructor(
    readonly executor: StepExecutor,
    readonly reporter: Reporter,
    readonly patienceSeconds: number,
  ) {}

  /** Sends the answer again where the order was carried out already. */
  repeat(order: Order): boolean {
    if (this.#restored?.key !== keyOf(order)) return false;
    this.reporter.publish(this.#restored.frame);
    return true;
  }

  /** Accepts an order: earlier ones are void. */
  accept(order: Order): void {
    this.#key = keyOf(order);
  }

  /** All orders are void. */
  forget(): void {
    this.#key = "";
    this.#restored = undefined;
  }

  /**
   * Carries out an order that was accepted.
   *
   * @param isEnding whether the worker leaves
   * @param restored called when the replica has the state
   */
  async restore(order: Order, isEnding: () => boolean, restored: () => void): Promise<void> {
    const { executor, reporter, patienceSeconds } = this;
    const { donor } = order.message;
    const key = keyOf(order);
    const isWanted = () => this.#key === key && !isEnding();
    executor.effects.begin(`restoring the state of ${donor}`);
    using neighbours = new Neighbours();
    const asked = {
      run: reporter.run,
      asker: reporter.member,
      donor,
      step: order.step,
      patienceSeconds,
      isSound: (manifest: ReceivedOf<"manifest">) => isSoundManifest(manifest, order.step, reporter.replica),
      isWanted,
      neighbours: executor.vectors.shared && neighbours,
    };
    await executor.restoreFrom(donorOver(reporter.transport, asked));
    if (!isWanted()) return;
    restored();
    const frame = encodeControl({ ...reporter.fields("restored"), step: order.step }, {});
    this.#restored = { key, frame };
    reporter.publish(frame);
  }
}

function keyOf(order: Order): string {
  return `${order.step} ${order.message.donor}`;
}

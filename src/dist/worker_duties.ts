/**
 * What a worker does between two steps when it is told to, and what it answers.
 *
 * @module
 */

import type { Frame, FrameFields } from "./frames.ts";
import { encodeControl, messageOf } from "./messages.ts";
import type { Replica } from "./replica.ts";
import type { Workbench } from "./workbench.ts";

/** Who carries out an order, and with what. */
export interface DutyContext {
  /** Name of the worker. */
  member: string;
  /** Its replica. */
  replica: Replica;
  /** What is in hand. */
  bench: Workbench;
  /** Run, sender, term, generation and step of the worker's frames. */
  fields<K extends Frame["kind"]>(kind: K): FrameFields & { kind: K };
  /** Says what is being done now. */
  setPhase(phase: string): void;
}

/** Which of all orders between steps one is; undefined for others. */
export function dutyKey({ kind, step, term, generation }: Frame): string | undefined {
  const isDuty = kind === "evaluate" || kind === "save" || kind === "pin" || kind === "hash";
  return isDuty ? `${kind} ${step} ${term} ${generation}` : undefined;
}

/** Carries out an order between steps. */
export async function carryOut(
  order: Frame,
  { member, replica, bench, fields, setPhase }: DutyContext,
  answer: (frame: Uint8Array) => void,
): Promise<void> {
  switch (order.kind) {
    case "evaluate": {
      const losses = await bench.evaluate(messageOf(order, "evaluate").ranges[member] ?? []);
      return answer(encodeControl(fields("evaluated"), { losses }));
    }
    case "save":
      if (messageOf(order, "save").writer !== member) return;
      setPhase("saving");
      return answer(encodeControl(fields("saved"), { place: await replica.save() }));
    case "pin":
      if (messageOf(order, "pin").donor !== member) return;
      setPhase("copying its state for others");
      await bench.pin();
      return answer(encodeControl(fields("pinned"), {}));
    case "hash": {
      setPhase("hashing");
      const { vectors: { bytesSent, bytesReceived }, stateBytes } = bench;
      return answer(
        encodeControl(fields("hashes"), { ...await replica.hashes(), bytesSent, bytesReceived, stateBytes }),
      );
    }
  }
}

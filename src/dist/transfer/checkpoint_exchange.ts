/**
 * The coordinator's part in the run's checkpoints: it collects those of members on other machines into the run's folder, and serves
 * the state there to workers that have no checkpoint of it, and the text to workers that lack it.
 *
 * @module
 */

import { collect, type Collection } from "./checkpoint_collection.ts";
import { decodeMessage } from "../protocol/messages.ts";
import type { CoordinationPlan, DistEvent } from "../replica/plan.ts";
import { StartDonor } from "./starting_state.ts";
import { answerAboutText, type SharedText } from "./text_transfer.ts";
import { COORDINATOR, type Message, type Transport } from "../protocol/transport.ts";
import type { CheckpointStore, SaveResult } from "../replica/replica.ts";

/** Callbacks of an exchange to its coordinator. */
export interface CheckpointEffects {
  /** How many values the members' parameters have. */
  size(): number;
  /** Whether a checkpoint is still wanted from a member. */
  isWanted(collection: Collection): boolean;
  /** A checkpoint is in the run's folder, or could not be collected. */
  collected(collection: Collection, result: SaveResult): void;
  /** Whether the state of a step may be handed out: the run's folder has it. */
  hasState(step: number): boolean;
  /** Reports an event. */
  report(event: DistEvent): void;
}

/** Checkpoints between the run's folder and members elsewhere. */
export class CheckpointExchange {
  readonly #donor: StartDonor | undefined;

  /** Nothing is being collected or served yet. */
  constructor(
    readonly transport: Transport,
    readonly plan: CoordinationPlan,
    readonly store: CheckpointStore | undefined,
    readonly text: SharedText | undefined,
    readonly effects: CheckpointEffects,
  ) {
    this.#donor = store && new StartDonor((step) => store.load(step));
  }

  /** Begins to collect a checkpoint. */
  collect(collection: Collection): void {
    const { transport, store, effects, plan: { run, windowBytes, heartbeatSeconds, silenceSeconds } } = this;
    const { member, step } = collection;
    collect(transport, store, collection, {
      run,
      size: effects.size(),
      windowBytes,
      heartbeatSeconds,
      silenceSeconds,
      isWanted: () => effects.isWanted(collection),
      onProgress: (share) => effects.report({ kind: "collecting", member, step, share }),
    }).then((result) => effects.collected(collection, result));
  }

  /** Answers a worker that asks for the state that the run starts from, or for the run's text. */
  answer({ data, respond }: Message): void {
    const { plan: { run }, effects } = this;
    const question = decodeMessage(data, run);
    if ("refused" in question) return;
    const extract = answerAboutText(this.text, question, { run, sender: COORDINATOR });
    if (extract) return respond?.(extract);
    if (!this.#donor || !effects.hasState(question.step)) return;
    this.#donor.answer(question, { run, sender: COORDINATOR, step: question.step })
      .then((answer) => answer && respond?.(answer))
      .catch(() => {}); // the checkpoint is damaged or missing: the worker that asks reports that it gets no answer
  }

  /** Releases a state that was not requested for long. */
  release(): void {
    this.#donor?.release(this.plan.silenceSeconds);
  }
}

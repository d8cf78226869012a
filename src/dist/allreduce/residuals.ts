/**
 * What error feedback has not made up for yet is part of its holder's state: each member, and who averages, keep their own
 * beside a checkpoint, and go on with it where the run is resumed with the same members.
 *
 * @module
 */

import { errorMessage } from "../../errors.ts";
import type { FeedbackEncoder, Residuals } from "../vectors/error_feedback.ts";

/** The residuals of one holder after a step. */
export interface SavedResiduals {
  /** The last step that was ended. */
  step: number;
  /** Members of the run then, by name. */
  members: readonly string[];
  /** By part of the vector. */
  residuals: Residuals;
}

/** Where the residuals of one holder are kept. */
export interface ResidualPlace {
  /** Keeps them, whole or not at all. */
  save(saved: SavedResiduals): Promise<void>;
  /** Those after a step; undefined where they are not there. */
  load(step: number): Promise<SavedResiduals | undefined>;
}

/** Where residuals are kept on a machine. */
export interface ResidualStore {
  /** Those of a member's sums. */
  of(member: string): ResidualPlace;
  /**
   * Those of the mean. Each who averages keeps those of its own parts, and finds those of all parts: another one may have averaged
   * them before.
   */
  ofMean(owner: string): ResidualPlace;
}

/** Saves the residuals of one holder, and takes them up again. Does nothing for a codec without feedback. */
export class ResidualKeeper {
  #resumed: { step: number; saved?: SavedResiduals } | undefined;
  #savedStep = 0;
  #written: Promise<void> = Promise.resolve();

  /**
   * Nothing to keep yet.
   *
   * @param place undefined: all is lost with the process
   * @param onLost gets why residuals are not made up for, or would not be after a resume
   */
  constructor(
    readonly encoder: FeedbackEncoder,
    readonly place: ResidualPlace | undefined,
    readonly onLost: (reason: string) => void,
  ) {}

  /** The run goes on after this step: looks for what was saved then. */
  async resume(step: number): Promise<void> {
    if (step === 0 || !this.encoder.codec.hasFeedback) return;
    this.#resumed = { step, saved: await this.place?.load(step) };
  }

  /** A step opens with these members. The first one decides whether what was saved is taken up. */
  open(step: number, members: readonly string[]): void {
    if (!this.#resumed) return;
    const { step: last, saved } = this.#resumed;
    this.#resumed = undefined;
    if (!saved || step !== last + 1) return this.onLost(`none were saved with step ${step - 1}`);
    if (String(saved.members) === String(members.toSorted())) return this.encoder.resume(saved.residuals);
    this.onLost(`the members of step ${last} were ${saved.members.join(", ")}`);
  }

  /** Saves a copy, while the run goes on. */
  save(step: number, members: readonly string[]): void {
    const { place, encoder } = this;
    if (!place || !encoder.codec.hasFeedback || step === this.#savedStep) return;
    this.#savedStep = step;
    const saved = { step, members: members.toSorted(), residuals: encoder.residuals() };
    if (saved.residuals.size === 0) return; // who averages no parts has none
    this.#written = this.#written
      .then(() => place.save(saved))
      .catch((error) => this.onLost(`those of step ${step} can't be saved: ${errorMessage(error)}`));
  }

  /** Waits until nothing is being written. */
  idle(): Promise<void> {
    return this.#written;
  }
}

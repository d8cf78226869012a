/**
 * Residuals of error feedback are part of their holder's state: each member and each reducer keeps its own beside a checkpoint, and
 * restores them where the run is resumed with the same members.
 *
 * @module
 */

import { errorMessage } from "../../errors.ts";
import { checksumOfNames } from "../protocol/checksums.ts";
import type { FeedbackEncoder, Residuals } from "../vectors/error_feedback.ts";

/** The residuals of one holder after a step. */
export interface SavedResiduals {
  /** The last step that was ended. */
  step: number;
  /** Members of the run at that step, by name. */
  members: readonly string[];
  /** By part of the vector. */
  residuals: Residuals;
}

/** Storage of the residuals of one holder. */
export interface ResidualPlace {
  /** Saves them atomically. */
  save(saved: SavedResiduals): Promise<void>;
  /** Those after a step; undefined where there are none. */
  load(step: number): Promise<SavedResiduals | undefined>;
}

/** Storage of residuals on a machine. */
export interface ResidualStore {
  /** Those of a member's sums. */
  of(member: string): ResidualPlace;
  /**
   * Those of the mean. Each reducer saves those of its own parts, and loads those of all parts: another one may have reduced them
   * before.
   */
  ofMean(owner: string): ResidualPlace;
}

/** Saves the residuals of one holder, and restores them. Does nothing for a codec without error feedback. */
export class ResidualKeeper {
  #resumed: { step: number; saved?: SavedResiduals } | undefined;
  #savedStep = 0;
  #written: Promise<void> = Promise.resolve();

  /**
   * Without saved residuals.
   *
   * @param place undefined: residuals are lost with the process
   * @param onLost called with the reason why residuals are lost, or would be after a resume
   */
  constructor(
    readonly encoder: FeedbackEncoder,
    readonly place: ResidualPlace | undefined,
    readonly onLost: (reason: string) => void,
  ) {}

  /** The run continues after this step: loads what was saved then. */
  async resume(step: number): Promise<void> {
    if (step === 0 || !this.encoder.codec.hasFeedback) return;
    this.#resumed = { step, saved: await this.place?.load(step) };
  }

  /**
   * A step opens. At the first step it is decided whether the saved residuals are restored.
   *
   * @param members checksum of the names of all members
   */
  open(step: number, members: number): void {
    if (!this.#resumed) return;
    const { step: last, saved } = this.#resumed;
    this.#resumed = undefined;
    if (!saved || step !== last + 1) return this.onLost(`none were saved with step ${step - 1}`);
    if (checksumOfNames(saved.members) === members) return this.encoder.resume(saved.residuals);
    this.onLost(`the members of step ${last} were ${saved.members.join(", ")}`);
  }

  /** Saves a copy, while the run continues. */
  save(step: number, members: readonly string[]): void {
    const { place, encoder } = this;
    if (!place || !encoder.codec.hasFeedback || step === this.#savedStep) return;
    this.#savedStep = step;
    const saved = { step, members: members.toSorted(), residuals: encoder.residuals() };
    if (saved.residuals.size === 0) return; // a reducer without parts has none
    this.#written = this.#written
      .then(() => place.save(saved))
      .catch((error) => this.onLost(`those of step ${step} can't be saved: ${errorMessage(error)}`));
  }

  /** Waits until nothing is being written. */
  idle(): Promise<void> {
    return this.#written;
  }
}

// @ts-check
/**
 * What happened, in words.
 *
 * @module
 */

import { decimal, short, whole } from "./format.js";

/** @import { RecordedEvent, RunItem } from "./types.ts" */

/** @typedef {"error" | "warning" | "info"} Severity */

const WARNINGS = ["failover", "lost", "refused", "skipped", "residualsDropped", "dropped", "warning"];

/**
 * @param {RecordedEvent} event
 * @returns {Severity}
 */
export function severityOf(event) {
  if (event.event === "unsaved" || (event.event === "ended" && event.outcome === "failed")) return "error";
  if (event.event === "reducerLeft" && event.reason !== undefined) return "warning";
  return WARNINGS.includes(event.event) ? "warning" : "info";
}

/**
 * @param {RecordedEvent} event
 * @returns {string}
 */
export function wordsOf(event) {
  switch (event.event) {
    case "started":
      return `Started: ${short(event.card.model.parameters)} parameters${
        event.card.machine ? `, ${workers(event.card.machine.workers)}` : ""
      }`;
    case "resumed":
      return `Resumed from step ${whole(event.step)}`;
    case "failover":
      return `Another coordinator continues the run (term ${event.term}), ${members(event.members.length)}`;
    case "joined":
      return `${event.member} joined, ${members(event.members)}`;
    case "joining":
      return `${event.member} restores the state from ${event.donor}`;
    case "left":
      return `${event.member} left, ${members(event.members)}`;
    case "lost":
      return `${event.member} lost: ${event.reason}, ${members(event.members)} left`;
    case "refused":
      return `${event.member} rejected: ${event.reasons.join("; ")}`;
    case "skipped":
      return `Step skipped: ${event.reason}`;
    case "evaluated":
      return `Validation loss ${decimal(event.valLoss)}`;
    case "sample":
      return `Sample by ${event.member}`;
    case "saved":
      return `Checkpoint of ${event.member} saved${event.elsewhere ? " on its machine" : ""}: ${
        folderOf(event.place)
      }`;
    case "unsaved":
      return `Checkpoint not saved: ${event.error}`;
    case "reducerJoined":
      return `Reducer ${event.reducer} joined, ${count(event.reducers, "reducer")}`;
    case "reducerLeft":
      return `Reducer ${event.reducer} left${event.reason ? `: ${event.reason}` : ""}, ${
        count(event.reducers, "reducer")
      }`;
    case "residualsDropped":
      return `Residuals of ${event.holder} dropped: ${event.reason}`;
    case "dropped":
      return `Micro-batches ${range(event.microBatches)} of steps ${whole(event.steps[0])} to ${
        whole(event.steps[1])
      } ` +
        `are not in the result: ${event.member} was lost`;
    case "warning":
      return event.text;
    case "ended":
      return { done: "Done", stopped: "Stopped", failed: "Failed" }[event.outcome] +
        (event.error ? `: ${event.error}` : "");
    default: // of a later version
      return String(/** @type {{ event: string }} */ (event).event);
  }
}

/**
 * A checkpoint's folder, without where its run is.
 *
 * @param {string} place
 */
function folderOf(place) {
  return place.split("/").slice(-2).join("/");
}

/**
 * Micro-batches [low, high) as people count: the last one belongs to it.
 *
 * @param {readonly [number, number]} range
 */
export function range([low, high]) {
  return high - low === 1 ? String(low) : `${low}–${high - 1}`;
}

/**
 * Why there is nothing about a run's members.
 *
 * @param {RunItem | undefined} item
 */
export function noReportText(item) {
  if (item?.workers === 0) return "A run in one process has no members.";
  return item?.state === "running"
    ? "No report yet: one comes every ten seconds."
    : "The members were not recorded.";
}

/** @param {number} number */
function members(number) {
  return count(number, "member");
}

/** @param {number} number */
function workers(number) {
  return number === 0 ? "one process" : count(number, "worker");
}

/**
 * @param {number} number
 * @param {string} noun
 */
function count(number, noun) {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

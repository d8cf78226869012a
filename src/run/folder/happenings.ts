/**
 * What events of the distribution are in `events.jsonl`, and as lines for people.
 *
 * @module
 */

import type { DistEvent } from "../../dist/mod.ts";
import { printableLine } from "../../printable.ts";
import type { RunHappening } from "./events.ts";

/** Events that only show progress, or have a file of their own. */
type Passing = DistEvent & { kind: "waiting" | "collecting" | "step" | "usage" };

/**
 * What an event is in `events.jsonl`.
 *
 * @param step the last step that was committed
 */
export function happeningOf(event: Exclude<DistEvent, Passing>, step: number): RunHappening {
  switch (event.kind) {
    case "joined":
      return { event: "joined", step, member: event.member, isNear: event.isNear, members: event.members };
    case "joining":
      return { event: "joining", step: event.step, member: event.member, donor: event.donor };
    case "left": {
      const { member, members, error } = event;
      if (error === undefined) return { event: "left", step, member, members };
      return { event: "lost", step, member, members, reason: error };
    }
    case "refused":
      return { event: "refused", step, member: event.member, reasons: event.reasons };
    case "took over":
      return { event: "failover", step: event.step, term: event.term, members: event.members };
    case "evaluated":
      return { event: "evaluated", step: event.step, valLoss: event.valLoss };
    case "sample": {
      const { kind: _, ...sample } = event;
      return { event: "sample", ...sample };
    }
    case "saved": {
      const { kind: _, ...saved } = event;
      return { event: "saved", ...saved };
    }
    case "unsaved":
      return { event: "unsaved", step: event.step, error: event.error };
    case "reducerJoined":
      return { event: "reducerJoined", step, reducer: event.reducer, reducers: event.reducers };
    case "reducerLeft": {
      const { reducer, reducers, error } = event;
      return {
        event: "reducerLeft",
        ...{ step, reducer, reducers },
        ...(error === undefined ? {} : { reason: error }),
      };
    }
    case "residualsDropped":
      return { event: "residualsDropped", step, holder: event.holder, reason: event.reason };
    case "dropped": {
      const { member, steps: [first, last], microBatches: [lo, hi] } = event;
      return { event: "dropped", step, member, steps: [first, last], microBatches: [lo, hi] };
    }
    case "no lease":
    case "mixed":
    case "by messages":
    case "unkept":
    case "unsampled":
      return { event: "warning", step, text: warningOf(event) };
  }
}

type Warned = "no lease" | "mixed" | "by messages" | "unkept" | "unsampled";

function warningOf(event: DistEvent & { kind: Warned }): string {
  switch (event.kind) {
    case "no lease":
      return "the NATS server has no JetStream for this user: a frozen coordinator that wakes up is detected late";
    case "mixed":
      return `${event.member} computes with ${event.numerics}, the run with ${event.runsNumerics}: admitted, since ` +
        "dist.mixed is true; the result now depends on which member computes what";
    case "by messages":
      return `means are sent to the members of this machine: ${event.reason}`;
    case "unkept":
      return `${event.member}'s own moments of step ${event.step} are not saved: ${event.error}`;
    case "unsampled":
      return `no samples of step ${event.step} from ${event.member}: ${event.error}`;
  }
}

/** Characters of a prompt, from its end, that are shown before its continuation. */
const SHOWN = 40;

/** What a model has written, as one line. */
function inLine(text: string): string {
  return printableLine(text.replace(/\s+/g, " "));
}

/** The line for people; undefined for what they need no line of, or have another. */
export function textOf(happening: RunHappening): string | undefined {
  switch (happening.event) {
    case "failover": {
      const { term, step, members } = happening;
      const names = members.join(", ") || "none";
      return `failover to this coordinator (term ${term}): continues from step ${step}, members: ${names}`;
    }
    case "joined":
      return `${happening.member} joined${
        happening.isNear ? " (shares memory)" : ""
      }, members: ${happening.members}`;
    case "joining":
      return `${happening.member} restores the state of step ${happening.step} from ${happening.donor}`;
    case "left":
      return `${happening.member} left, members: ${happening.members}`;
    case "lost":
      return `${happening.member} left (${happening.reason}), members: ${happening.members}`;
    case "refused":
      return `${happening.member} was rejected: ${happening.reasons.join("; ")}`;
    case "skipped":
      return `step ${happening.step} was skipped: ${happening.reason}`;
    case "saved": {
      const { step, place, member, elsewhere } = happening;
      return elsewhere && `the checkpoint of step ${step} is in ${place} on the machine of ${member}`;
    }
    case "unsaved":
      return `the run continues from step ${happening.step} without its checkpoint: ${happening.error}`;
    case "reducerJoined":
      return `${happening.reducer} reduces from the next step on, reducers: ${happening.reducers}`;
    case "reducerLeft": {
      const { reducer, reducers, reason } = happening;
      return `${reducer} left${reason === undefined ? "" : ` (${reason})`}, reducers: ${reducers}`;
    }
    case "residualsDropped":
      return `residuals of ${happening.holder} are dropped: ${happening.reason}`;
    case "dropped": {
      const { member, steps: [first, last], microBatches: [lo, hi] } = happening;
      return `the round of steps ${first} to ${last} continues without ${member}: micro-batches ${lo} to ${
        hi - 1
      } of each are dropped`;
    }
    case "sample": {
      const { step, prompt, text } = happening;
      return `step ${step}: ${inLine(prompt.slice(-SHOWN))} | ${inLine(text)}`;
    }
    case "warning":
      return happening.text;
    case "started":
    case "resumed":
    case "evaluated":
    case "ended":
      return undefined;
  }
}

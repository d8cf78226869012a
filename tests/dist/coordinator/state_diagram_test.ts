/** The state diagram of src/dist/coordinator/README.md against runs on paper: no transition is missing, and none is too many. @module */

import assert from "node:assert/strict";
import { gathering } from "../../../src/dist/coordinator/failover.ts";
import type { MembershipEvent } from "../../../src/dist/state/events.ts";
import type { Action, RunState } from "../../../src/dist/state/run_state.ts";
import { randomStream } from "../../../src/prng.ts";
import { Paper } from "../support/paper.ts";

const README = new URL("../../../src/dist/coordinator/README.md", import.meta.url);
const WALKS = 1500;
const EVENTS = 60;

/** Edges of the diagram: "computing → reducing". */
function drawn(): string[] {
  const [, diagram] = Deno.readTextFileSync(README).match(/```mermaid\nstateDiagram-v2\n([^]*?)```/)!;
  return [...diagram.matchAll(/^ +(\S+) --> (\w+)/gm)].map(([, from, to]) => `${from} → ${to}`);
}

/** A run that tells how its stage changes. */
class Walked extends Paper {
  onChange: (change: Change) => void = () => {};

  override do(event: MembershipEvent): Action[] {
    const before = this.state, actions = super.do(event), after = this.state;
    const from = before.stage.kind, to = after.stage.kind;
    if (from !== to) this.onChange({ from, to, isStraight: isStraight(before, after) });
    return actions;
  }
}

/** What a run went through: from one stage to another, straight or by way of `settled` where that can be told. */
interface Change {
  from: string;
  to: string;
  isStraight: boolean;
}

/** Whether the state can't have been settled in between: the same step is open, or nobody is there who could go on. */
function isStraight(before: RunState, after: RunState): boolean {
  const openedAt = ({ stage }: RunState) => "openedAt" in stage ? stage.openedAt : undefined;
  if (before.stage.kind === "gathering") return after.members.size === 0;
  return openedAt(before) !== undefined && openedAt(before) === openedAt(after);
}

/** A run to which things happen at random; its stages. */
function walk(seed: number): Change[] {
  const { uniform } = randomStream(seed, "walk");
  let drawn = 0;
  const draw = () => uniform(drawn++);
  const pick = <T>(all: readonly T[]): T => all[Math.floor(draw() * all.length)];
  const paper = new Walked({
    steps: 4,
    microBatches: 4,
    startWorkers: 1 + Math.floor(2 * draw()),
    saveEvery: Math.floor(3 * draw()),
    hashEvery: Math.floor(3 * draw()),
    evaluation: { every: Math.floor(3 * draw()), microBatches: 2 },
  });
  if (draw() < 0.2) paper.state = gathering(paper.state, { expected: 2 }, 0);
  const changes: Change[] = [{ from: "[*]", to: paper.stage, isStraight: true }];
  paper.onChange = (change) => changes.push(change);
  let joined = 0;
  for (let i = 0; i < EVENTS; i++) {
    if (draw() < 0.15) happen();
    else proceed();
  }
  return changes;

  /** Trouble, or a newcomer. */
  function happen(): void {
    const { members, candidates, step, stage } = paper.state;
    const all = [...members.keys(), ...candidates.keys()];
    const what = Math.floor(6 * draw());
    if (what === 0 && all.length > 0) paper.do({ kind: "leave", member: pick(all), error: "lost" });
    if (what === 1) {
      paper.join(`w${joined++}`, { atHome: draw() < 0.5 }, stage.kind === "gathering" ? 3 : step);
    }
    if (what === 2 && draw() < 0.1) paper.do({ kind: "interrupt" });
    if (what === 3 && paper.state.writing) paper.written();
    if (what === 4) paper.now += 6 * draw();
    if (what === 5 && draw() < 0.2) paper.do({ kind: "hurry" });
  }

  /** What the run waits for, or a part of it. */
  function proceed(): void {
    const { stage, members, candidates, step } = paper.state;
    const traffic = { bytesSent: 0, bytesReceived: 0 };
    switch (stage.kind) {
      case "waiting":
        for (const { name, source } of candidates.values()) {
          if (source) paper.do({ kind: "restored", member: name, step: source.step });
        }
        paper.join(`w${joined++}`, {}, step);
        break;
      case "gathering":
        if (draw() < 0.5) arrive();
        else {
          paper.now += 1;
          const recall = paper.do({ kind: "tick" }).find((action) => action.do === "recall");
          const record = { tokens: 0, loss: 1, skips: 0 };
          if (recall?.do === "recall") paper.do({ kind: "recalled", step: recall.step, record });
        }
        break;
      case "computing": {
        const finite = draw() > 0.1;
        for (const [member, ranges] of Object.entries(stage.ranges)) {
          for (const [lo, hi] of ranges) if (draw() < 0.8) paper.offer(member, lo, hi, { finite });
        }
        break;
      }
      case "reducing":
        paper.averaged(1, traffic);
        break;
      case "committing":
        paper.beat(step + 1);
        break;
      case "evaluating":
        for (const [member, ranges] of Object.entries(stage.ranges)) {
          const losses = ranges.flatMap(([lo, hi]) =>
            Array.from({ length: hi - lo }, (_, j) => ({ microBatch: lo + j, lossSum: 1, tokens: 1 }))
          );
          paper.do({ kind: "evaluated", member, step, losses });
        }
        break;
      case "hashing":
        paper.compare();
        break;
      case "saving":
        for (const member of stage.copying) paper.do({ kind: "copied", member, step });
        break;
      case "writing":
        paper.written();
        break;
      case "pinning":
        paper.do({ kind: "pinned", member: stage.donor, step });
        for (const { name, source } of candidates.values()) {
          if (source) paper.do({ kind: "restored", member: name, step: source.step });
        }
        break;
      case "admitting":
        if (draw() < 0.5) paper.now = stage.until;
        for (const { name } of candidates.values()) {
          if (draw() < 0.5) continue;
          paper.do({ kind: "status", member: name, step, status: { phase: "ready", progress: 1 } });
        }
    }
    for (const { name, source, ready } of paper.state.candidates.values()) {
      if (source && !ready && draw() < 0.5) paper.do({ kind: "restored", member: name, step: source.step });
    }
    if (members.size > 0 || candidates.size > 0) paper.do({ kind: "tick" });
  }

  function arrive(): void {
    const request = { nonce: `old ${joined}` };
    paper.join(`w${joined}`, request, 3);
    const { actions } = paper;
    actions.length = 0;
    const { stage } = paper.state;
    if (stage.kind !== "gathering") return;
    const name = `w${joined++}`, arrival = stage.arrivals.get(name);
    if (!arrival) return;
    const arrivals = new Map(stage.arrivals).set(name, { ...arrival, generation: 1, term: 1 });
    paper.state = { ...paper.state, stage: { ...stage, arrivals } };
  }
}

Deno.test("the state diagram has each transition that runs go through, and no other", () => {
  const edges = drawn(), has = new Set(edges), used = new Set<string>();
  for (let seed = 0; seed < WALKS; seed++) {
    for (const { from, to, isStraight } of walk(seed)) {
      if (to === "ended") continue;
      const straight = `${from} → ${to}`;
      const path = isStraight || has.has(straight) ? [straight] : [`${from} → settled`, `settled → ${to}`];
      for (const edge of path) {
        assert.ok(
          has.has(edge),
          `a run went from ${from} to ${to}, and the diagram has no ${edge} (seed ${seed})`,
        );
        used.add(edge);
      }
    }
  }
  assert.deepEqual(edges.filter((edge) => !used.has(edge)), []);
});

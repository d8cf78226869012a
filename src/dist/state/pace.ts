/**
 * The pace of a run: how long members took for their results of late, by stage. What was long ago is forgotten, since machines
 * and steps change. Pure functions.
 *
 * @module
 */

/** Of the last stages, by kind. */
export type Pace = Readonly<Record<string, readonly Duration[] | undefined>>;

/** The longest that anybody took for a result in one stage. */
interface Duration {
  /** When the stage began, in seconds: tells it from others. */
  readonly since: number;
  readonly seconds: number;
}

/** So many stages of a kind are remembered. */
const WINDOW = 50;
/** Of so many, one was unusual: something else kept the machine busy. One is always allowed to be. */
const UNUSUAL = 10;

/** The pace with a result that came in the stage that began then. */
export function paced(pace: Pace, kind: string, since: number, seconds: number): Pace {
  const before = pace[kind] ?? [];
  const last = before.at(-1);
  const all = last?.since === since
    ? [...before.slice(0, -1), { since, seconds: Math.max(last.seconds, seconds) }]
    : [...before, { since, seconds }].slice(-WINDOW);
  return { ...pace, [kind]: all };
}

/** The longest that is usual in a stage, in seconds; undefined where none was seen. */
export function usualPace(pace: Pace, kind: string): number | undefined {
  const sorted = secondsOf(pace, kind);
  const unusual = Math.max(1, Math.floor(sorted.length / UNUSUAL));
  return sorted[Math.min(unusual, sorted.length - 1)];
}

/** The longest of late, in seconds; undefined where none was seen. */
export function longestPace(pace: Pace, kind: string): number | undefined {
  return secondsOf(pace, kind)[0];
}

/** Longest first. */
function secondsOf(pace: Pace, kind: string): number[] {
  return (pace[kind] ?? []).map(({ seconds }) => seconds).sort((a, b) => b - a);
}

/**
 * The pace of a run: how long members recently took for their results, by stage. Old stages are forgotten, since machines and
 * steps change. Pure functions.
 *
 * @module
 */

/** Durations of the last stages, by kind of stage. */
export type Pace = Readonly<Record<string, readonly Duration[] | undefined>>;

/** The longest that a member took for a result in one stage. */
interface Duration {
  /** When the stage began, in seconds: identifies it. */
  readonly since: number;
  readonly seconds: number;
}

/** Stages of a kind that are remembered. */
const WINDOW = 50;
/** One stage in this many may be an outlier, where the machine was busy with something else; at least one always may. */
const UNUSUAL = 10;

/** The pace with one more result, in the stage that began at `since`. */
export function paced(pace: Pace, kind: string, since: number, seconds: number): Pace {
  const before = pace[kind] ?? [];
  const last = before.at(-1);
  const all = last?.since === since
    ? [...before.slice(0, -1), { since, seconds: Math.max(last.seconds, seconds) }]
    : [...before, { since, seconds }].slice(-WINDOW);
  return { ...pace, [kind]: all };
}

/** The longest duration of a stage without the outliers, in seconds; undefined where none was seen. */
export function usualPace(pace: Pace, kind: string): number | undefined {
  const sorted = secondsOf(pace, kind);
  const unusual = Math.max(1, Math.floor(sorted.length / UNUSUAL));
  return sorted[Math.min(unusual, sorted.length - 1)];
}

/** The longest remembered duration, in seconds; undefined where none was seen. */
export function longestPace(pace: Pace, kind: string): number | undefined {
  return secondsOf(pace, kind)[0];
}

/** Longest first. */
function secondsOf(pace: Pace, kind: string): number[] {
  return (pace[kind] ?? []).map(({ seconds }) => seconds).sort((a, b) => b - a);
}
